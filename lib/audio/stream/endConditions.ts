import type { AudioStream } from './AudioStream.js'
import type { LiveStream } from './LiveStream.js'
import type { AudioSink } from '../socket/types.js'
import { MAX_TIMER_MS } from '../../model/checkOptions.js'
import { FULL_SCALE, SAMPLE_BYTES } from '../../pcm/samples.js'

/** ms that jambonz has to end a listen at its maxLength, before we do. */
const MAX_LENGTH_GRACE = 1_000
/**
 * Bytes between two samples that are measured. Every third sample is enough to tell silence from speech, and
 * takes the sides of a stereo stream in turn.
 */
const STRIDE = 3 * SAMPLE_BYTES

export interface EndConditionOptions {
  /** RMS of a frame, in dBFS, below which the frame counts as silence */
  silenceLevel: number
}

/**
 * Ends a listen on conditions that jambonz documents but does not apply (feature-server lib/tasks/listen.js):
 * `timeout`; a `finishOnKey` of several digits, each of which ends the listen; and any `finishOnKey` in `config`.
 * jambonz itself applies `maxLength`; if it does not, the listen is ended a second later.
 */
export function watchEndConditions(
  live: LiveStream,
  stream: AudioStream,
  { silenceLevel }: EndConditionOptions
): void {
  const { timeout, finishOnKey, maxLength, nested } = stream.listen
  if (timeout !== undefined && timeout > 0) watchSilence(live, stream, timeout * 1000, silenceLevel)
  if (finishOnKey !== undefined && (finishOnKey.length > 1 || nested === 'config')) {
    watchKeys(live, stream, finishOnKey)
  }
  if (maxLength !== undefined && maxLength > 0) watchLength(live, maxLength * 1000 + MAX_LENGTH_GRACE)
}

// Counts silence in ms of audio, so that a pause of the audio by live-call control does not count as silence.
function watchSilence(live: LiveStream, stream: AudioStream, timeoutMs: number, silenceLevel: number): void {
  const silentSquare = (FULL_SCALE * 10 ** (silenceLevel / 20)) ** 2
  const bytesPerMs = (stream.sampleRate * stream.channels * SAMPLE_BYTES) / 1000
  let silentMs = 0
  const sink: AudioSink = {
    write(frame) {
      silentMs = meanSquare(frame) < silentSquare ? silentMs + frame.length / bytesPerMs : 0
      if (silentMs < timeoutMs) return
      remove()
      live.end('timeout')
    }
  }
  const remove = live.addSink(sink)
  stream.on('dtmf', () => {
    silentMs = 0
  })
}

function watchKeys(live: LiveStream, stream: AudioStream, keys: string): void {
  const remove = live.keepLive()
  let isOver = false
  stream.on('dtmf', ({ digit, private: isPrivate }) => {
    if (!keys.includes(digit) || isOver) return
    isOver = true
    if (!isPrivate) live.digits = digit
    remove()
    live.end('finishOnKey')
  })
}

function watchLength(live: LiveStream, ms: number): void {
  const timer = setTimeout(() => live.end('maxLength'), Math.min(ms, MAX_TIMER_MS))
  live.done.then(() => clearTimeout(timer))
}

function meanSquare(frame: Buffer): number {
  let sum = 0
  for (let at = 0; at < frame.length; at += STRIDE) {
    const sample = (((frame[at + 1] ?? 0) << 24) >> 16) | (frame[at] ?? 0)
    sum += sample * sample
  }
  return sum / (frame.length / STRIDE)
}
