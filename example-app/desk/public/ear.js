import { palette, prepare } from './wave.js'

/** s of audio in hand before it is played: what a line may be uneven by */
const LEAD = 0.06
/** s of audio in hand at most: what comes on top is dropped, so that what you hear is now */
const MAX_AHEAD = 0.2
/** frames after which a delay that has grown is shortened by one */
const SECOND = 50

/**
 * Plays the audio of one call as it comes. Scheduled buffers, and not a worklet: that is for https pages only, and a
 * desk may well be opened by its address in the local network.
 */
export class Ear {
  /** s that the last frame has waited when it is heard */
  delay = 0
  /** the call it plays: whatever the page knows of it */
  call
  #context
  #gain
  #analysers = []
  #next = 0
  #frames = 0
  #least = Infinity
  #volume = 1
  #format

  /** Within a click: browsers let nothing sound without one. */
  open (call, { sampleRate, channels }) {
    this.close()
    this.call = call
    this.#format = { sampleRate, channels }
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
    this.#next = 0
  }

  close () {
    this.#context?.close()
    this.#context = undefined
    this.#analysers = []
    this.call = undefined
    this.delay = 0
  }

  setVolume (volume) {
    this.#volume = volume
    if (this.#gain) this.#gain.gain.value = volume
  }

  /** L16, interleaved */
  play (frame) {
    const context = this.#context
    if (context === undefined || frame.byteLength === 0) return
    const { sampleRate, channels } = this.#format
    const samples = new Int16Array(frame)
    const length = samples.length / channels
    const now = context.currentTime
    if (this.#next < now) this.#next = now + LEAD
    if (this.#next + length / sampleRate - now > MAX_AHEAD || this.#isLate(this.#next - now, length / sampleRate)) return
    const buffer = new AudioBuffer({ length, numberOfChannels: channels, sampleRate })
    for (let channel = 0; channel < channels; channel++) {
      const plane = buffer.getChannelData(channel)
      for (let at = 0; at < length; at++) plane[at] = samples[at * channels + channel] / 32_768
    }
    const source = new AudioBufferSourceNode(context, { buffer })
    source.connect(this.#gain)
    source.start(this.#next)
    this.#next += length / sampleRate
    this.delay = this.#next - now + (context.outputLatency || context.baseLatency || 0)
  }

  // A line that was slow for a moment leaves a delay behind that nobody needs.
  #isLate (ahead, duration) {
    this.#least = Math.min(this.#least, ahead)
    if (++this.#frames % SECOND > 0) return false
    const spare = this.#least - LEAD
    this.#least = Infinity
    return spare > duration
  }

  /** RMS of what sounds now, a number for each channel: 0 is silence, 1 is as loud as can be. */
  levels () {
    const window = new Float32Array(512)
    return this.#analysers.map((analyser) => {
      analyser.getFloatTimeDomainData(window)
      return Math.sqrt(window.reduce((sum, sample) => sum + sample * sample, 0) / window.length)
    })
  }

  draw (canvas) {
    const { context, width, height } = prepare(canvas)
    const { channels, line } = palette()
    const levels = this.levels()
    const lane = height / levels.length
    for (const [channel, level] of levels.entries()) {
      const share = level === 0 ? 0 : Math.max(0, 1 + 20 * Math.log10(level) / 48)
      context.fillStyle = line
      context.fillRect(0, lane * channel + 1, width, lane - 2)
      context.fillStyle = channels[channel]
      context.fillRect(0, lane * channel + 1, width * share, lane - 2)
    }
  }
}

/** At the call's own rate, where the browser can: then nothing is resampled frame by frame. */
function contextAt (sampleRate) {
  try {
    return new AudioContext({ sampleRate, latencyHint: 'interactive' })
  } catch {
    return new AudioContext({ latencyHint: 'interactive' })
  }
}
