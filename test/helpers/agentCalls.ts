import { readFile } from 'node:fs/promises'
import type { Test } from 'tap'
import type { AudioStream, FinishedRecording, Listen } from '../../lib/index.js'
import { readWav } from '../../lib/pcm/readWav.js'
import { resample } from '../../lib/pcm/Resampler.js'
import { bytesOf, samplesOf } from '../../lib/pcm/samples.js'
import {
  simulateCall,
  type CallStory,
  type SimulateCallOptions,
  type SimulatedCall
} from '../../lib/simulator/index.js'
import { build, folder, listening } from './build.js'
import { until } from './until.js'

export interface AgentCall {
  mixType?: 'mono' | 'stereo' | 'mixed'
  /**
   * sample rate in Hz of the agent's audio (`streamRate`), of the recording (`sampleRate`) and of the call
   * (`callRate`)
   */
  streamRate?: 8000 | 16_000
  sampleRate?: 8000 | 16_000
  callRate?: 8000 | 16_000
  recording?: Record<string, unknown>
  record?: { output?: boolean }
  simulate?: Partial<SimulateCallOptions>
  /** called during the call */
  during?: (call: SimulatedCall) => Promise<void>
  /** reads the recording; without this function, the file at the recording's location is read */
  read?: (recording: FinishedRecording) => Promise<Buffer>
  agent: (stream: AudioStream) => Promise<void>
}

export interface AgentRecording {
  listen: Listen
  story: CallStory
  sampleRate: number
  /** samples of each channel of the recording */
  channels: Int16Array[]
  /**
   * the agent's audio as the caller heard it, resampled to the recording's rate and aligned with its start
   */
  heard: Int16Array
  log: string[]
}

/** Returns noise that resembles speech. It never repeats, so that each part is found at one place only. */
export function voice(ms: number, rate = 8000, seed = 1): Int16Array {
  let state = seed
  let last = 0
  const factor = 8000 / rate
  return Int16Array.from({ length: (ms * rate) / 1000 }, (_, i) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    last += 0.35 * factor * ((state / 0x4000_0000 - 1) * 12_000 - last)
    return last * (0.6 + 0.4 * Math.sin((i * 1000) / rate / 40))
  })
}

/**
 * Makes a call whose agent speaks, and records it. Resolves to the recording and to the agent's audio that
 * the caller heard.
 */
export async function agentCall(t: Test, options: AgentCall): Promise<AgentRecording> {
  const { mixType = 'mono', streamRate = 8000, sampleRate = 8000, callRate = 8000 } = options
  const log: string[] = []
  const app = await build(t, {
    recording: { directory: folder(), ...options.recording },
    fastify: { logger: { level: 'info', stream: { write: (line: string) => log.push(line) } } }
  })
  app.jambonz.webhook('/agent', async () => [
    {
      verb: 'listen',
      url: '/agent/audio',
      actionHook: '/agent/done',
      mixType,
      sampleRate,
      bidirectionalAudio: { enabled: true, streaming: true, sampleRate: streamRate }
    }
  ])
  app.jambonz.actionHook('/agent/done', async () => [{ verb: 'hangup' }])
  // Waits for the event, because on a busy machine the hook may be answered before the recording is complete.
  const saved = new Promise<FinishedRecording>((resolve, reject) => {
    app.jambonz.calls.events.once('recording', resolve).once('recordingFailed', reject)
  })
  app.jambonz.audio('/agent/audio', { ...options.record }, async (stream) => {
    await options.agent(stream)
    await stream.disconnect()
  })
  const call = simulateCall({
    url: `${await listening(app)}/agent`,
    speech: null,
    speed: 1,
    callRate,
    patienceMs: 30_000,
    ...options.simulate
  })
  await options.during?.(call)
  const story = await call
  const recording = await saved
  const ended = await until(async () => {
    const [listen] = (await app.jambonz.calls.get(story.callSid))?.listens ?? []
    return listen?.state === 'ended' ? listen : undefined
  }, 'the end of the listen')
  const listen: Listen = { ...ended, recording }
  const file = await (options.read?.(recording) ?? readFile(recording.location))
  const { channels: count } = recording
  return {
    listen,
    story,
    sampleRate,
    channels: Array.from({ length: count }, (_, channel) => channelOf(file, channel, count)),
    heard: heardOnFile(story, sampleRate),
    log
  }
}

function channelOf(wav: Buffer, channel: number, count: number): Int16Array {
  const data = samplesOf(wav.subarray(wav.indexOf('data') + 8))
  return Int16Array.from(
    { length: Math.floor(data.length / count) },
    (_, i) => data[i * count + channel] ?? 0
  )
}

function heardOnFile(story: CallStory, sampleRate: number): Int16Array {
  const [{ output, sent } = {}] = story.listens
  if (output === undefined || sent?.startedAtMs === undefined) throw new Error('the caller heard nothing')
  const offset = Math.round(((sent.startedAtMs - output.startedAtMs) * output.sampleRate) / 1000)
  const samples = samplesOf(output.pcm)
  const from = Math.max(0, offset)
  const aligned = new Int16Array(Math.max(0, -offset) + samples.length - from)
  aligned.set(samples.subarray(from), Math.max(0, -offset))
  return resample(aligned, output.sampleRate, sampleRate)
}

const WINDOW_MS = 200
const MAX_SHIFT_MS = 150
/**
 * For `likeness()`: number of samples around the delay of the previous stretch that are searched first
 * (NEAR), and the least correlation at which two stretches count as the same sound (SAME).
 */
const NEAR = 8
const SAME = 0.98
const LOUD = 300
/** Part of a stretch that must be loud for the stretch to be compared. An utterance of 60 ms is enough. */
const LOUD_PART = 0.15

export interface Likeness {
  /** delay of the recording in ms, for each stretch of 200 ms that the caller heard */
  delays: number[]
  /** absolute value of the stretches' delays in ms: median, and maximum */
  medianMs: number
  worstMs: number
  /** median of the correlations of all stretches */
  correlation: number
}

/** Compares the recording with the audio that the caller heard, in stretches of 200 ms. */
export function likeness(recorded: Int16Array, heard: Int16Array, sampleRate: number): Likeness {
  const window = (WINDOW_MS * sampleRate) / 1000
  const shift = (MAX_SHIFT_MS * sampleRate) / 1000
  const found: Array<{ delay: number; correlation: number }> = []
  let last = 0
  for (let at = 0; at + window <= heard.length; at += window) {
    const part = heard.subarray(at, at + window)
    if (part.reduce((count, sample) => count + Number(Math.abs(sample) > LOUD), 0) < window * LOUD_PART) {
      continue
    }
    // Each stretch of noise matches at one place only. Its delay is usually that of the previous stretch, so
    // the places around that delay are tried first.
    let best = bestOf(part, recorded, at + last - NEAR, at + last + NEAR)
    if (best.correlation < SAME) best = bestOf(part, recorded, at - shift, at + shift)
    last = best.at - at
    found.push({ delay: (last / sampleRate) * 1000, correlation: best.correlation })
  }
  const delays = found.map(({ delay }) => delay)
  return {
    delays,
    medianMs: median(delays.map(Math.abs)),
    worstMs: Math.max(...delays.map(Math.abs)),
    correlation: median(found.map(({ correlation }) => correlation))
  }
}

function bestOf(part: Int16Array, within: Int16Array, from: number, to: number) {
  const found = correlations(part, within, from, to + 1)
  const index = found.reduce((best, correlation, i) => (correlation > found[best]! ? i : best), 0)
  return { at: from + index, correlation: found[index]! }
}

/** Returns the correlation of `part` with the samples of `within` that begin at index `at`. */
export function correlate(part: Int16Array, within: Int16Array, at: number): number {
  return correlations(part, within, at, at + 1)[0]!
}

/** Returns the correlation of `part` with the samples of `within` at each index from `from` to `to - 1`. */
export function correlations(part: Int16Array, within: Int16Array, from: number, to: number): Float64Array {
  const { length } = part
  const a = Float64Array.from(part)
  // Samples before and after `within` count as silence.
  const b = new Float64Array(to - from + length - 1)
  b.set(within.subarray(Math.max(0, from), to + length - 1), Math.max(0, -from))
  const squareOf = (sum: number, sample: number) => sum + sample * sample
  const squareA = a.reduce(squareOf, 0)
  let squareB = b.subarray(0, length).reduce(squareOf, 0)
  return new Float64Array(to - from).map((_, at) => {
    if (at > 0) squareB += b[at + length - 1]! ** 2 - b[at - 1]! ** 2
    if (squareA === 0 || squareB === 0) return 0
    let both = 0
    for (let i = 0; i < length; i++) both += a[i]! * b[at + i]!
    return both / Math.sqrt(squareA * squareB)
  })
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

/** Returns how many ms of the samples are loud, in steps of 10 ms. */
export function loudMs(samples: Int16Array, rate = 8000): number {
  const stretch = rate / 100
  let ms = 0
  for (let at = 0; at < samples.length; at += stretch) {
    if (samples.subarray(at, at + stretch).some((sample) => Math.abs(sample) > 100)) ms += 10
  }
  return ms
}

/** Writes samples to the stream in pieces of 20 ms, in real time. */
export async function writeInPieces(stream: AudioStream, samples: Int16Array): Promise<void> {
  const piece = stream.outputSampleRate / 50
  const began = performance.now()
  for (let at = 0, count = 0; at < samples.length; at += piece, count++) {
    const wait = began + count * 20 - performance.now()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    stream.write(bytesOf(samples.slice(at, at + piece)))
  }
}

/** Reads a sound file with any number of channels. Resolves to mono samples. */
export async function soundOf(path: string): Promise<Int16Array> {
  return readWav(await readFile(path)).samples
}
