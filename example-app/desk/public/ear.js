import { channelNames } from './format.js'
import { openSocket } from './socket.js'
import { palette, prepare } from './wave.js'

/** seconds of audio to buffer before playing, because the network is uneven */
const LEAD = 0.06
/** maximum seconds of buffered audio; frames beyond that are dropped, so that the delay stays short */
const MAX_AHEAD = 0.2
/** number of frames between two checks of the delay; a delay that has grown is shortened by one frame */
const SECOND = 50
/** ms without a frame after which the page shows that nothing is heard */
const SILENT = 500

/**
 * Plays the audio of one listen as it arrives. It schedules buffers and uses no AudioWorklet, because
 * worklets need https, and the page may be opened without it at an address in the local network.
 */
export class Ear {
  /** id of the listen that is played; undefined: none */
  id
  #socket
  #context
  #gain
  #analysers = []
  #volume = 1
  #sampleRate
  #channels
  #next
  #heardAt
  #delay
  #frames = 0
  #least = Infinity

  /** Begins to play a listen. Call this in a click handler, because browsers play no sound before a click. */
  open(listen) {
    this.close()
    const { id, sampleRate } = listen
    const channels = channelNames(listen).length
    this.id = id
    this.#sampleRate = sampleRate
    this.#channels = channels
    this.#next = 0
    this.#heardAt = -Infinity
    this.#context = contextAt(sampleRate)
    this.#gain = new GainNode(this.#context, { gain: this.#volume })
    this.#gain.connect(this.#context.destination)
    const splitter = new ChannelSplitterNode(this.#context, { numberOfOutputs: channels })
    this.#gain.connect(splitter)
    this.#analysers = Array.from({ length: channels }, (_, channel) => {
      const analyser = new AnalyserNode(this.#context, { fftSize: 512 })
      splitter.connect(analyser, channel)
      return analyser
    })
    this.#socket = openSocket(`live/${encodeURIComponent(id)}`, { message: (frame) => this.#play(frame) })
  }

  close() {
    if (this.id === undefined) return
    this.id = undefined
    this.#socket.close()
    this.#context.close()
    this.#analysers = []
  }

  setVolume(volume) {
    this.#volume = volume
    if (this.#gain) this.#gain.gain.value = volume
  }

  /** ms by which the sound is later than the call; undefined if nothing is heard */
  get delay() {
    return performance.now() - this.#heardAt < SILENT ? this.#delay * 1000 : undefined
  }

  /** Schedules a frame of interleaved L16. */
  #play(frame) {
    const context = this.#context
    const samples = new Int16Array(frame)
    const length = samples.length / this.#channels
    const duration = length / this.#sampleRate
    const now = context.currentTime
    if (length === 0) return
    if (this.#next < now) this.#next = now + LEAD
    if (this.#next + duration - now > MAX_AHEAD || this.#isLate(this.#next - now, duration)) return
    const buffer = new AudioBuffer({ length, numberOfChannels: this.#channels, sampleRate: this.#sampleRate })
    for (let channel = 0; channel < this.#channels; channel++) {
      const plane = buffer.getChannelData(channel)
      for (let at = 0; at < length; at++) plane[at] = samples[at * this.#channels + channel] / 32_768
    }
    const source = new AudioBufferSourceNode(context, { buffer })
    source.connect(this.#gain)
    source.start(this.#next)
    this.#next += duration
    this.#delay = this.#next - now + (context.outputLatency || context.baseLatency || 0)
    this.#heardAt = performance.now()
  }

  // Returns true if the frame should be dropped. This is so if, since the last check, the buffer was always
  // longer than needed, for example after a slow moment of the network.
  #isLate(ahead, duration) {
    this.#least = Math.min(this.#least, ahead)
    if (++this.#frames % SECOND > 0) return false
    const spare = this.#least - LEAD
    this.#least = Infinity
    return spare > duration
  }

  /** Returns the RMS of each channel of the sound, from 0 (silence) to 1 (maximum). */
  levels() {
    const window = new Float32Array(512)
    return this.#analysers.map((analyser) => {
      analyser.getFloatTimeDomainData(window)
      return Math.sqrt(window.reduce((sum, sample) => sum + sample * sample, 0) / window.length)
    })
  }

  draw(canvas) {
    const { context, width, height } = prepare(canvas)
    const { channels, line } = palette()
    const levels = this.levels()
    const lane = height / levels.length
    for (const [channel, level] of levels.entries()) {
      const share = level === 0 ? 0 : Math.max(0, 1 + (20 * Math.log10(level)) / 48)
      context.fillStyle = line
      context.fillRect(0, lane * channel + 1, width, lane - 2)
      context.fillStyle = channels[channel]
      context.fillRect(0, lane * channel + 1, width * share, lane - 2)
    }
  }
}

/**
 * Returns an AudioContext. If the browser allows it, the context has the sample rate of the call, so that no
 * frame is resampled.
 */
function contextAt(sampleRate) {
  try {
    return new AudioContext({ sampleRate, latencyHint: 'interactive' })
  } catch {
    return new AudioContext({ latencyHint: 'interactive' })
  }
}
