import assert from 'node:assert/strict'
import fc from 'fast-check'
import { AudioFeed } from '../../lib/audio/socket/AudioFeed.js'
import type { AudioSink } from '../../lib/audio/socket/types.js'
import { SAMPLE_BYTES } from '../../lib/pcm/samples.js'
import { nothingToEnd, type FuzzTarget } from './target.js'

const RATE = 8000
/** ms of audio (FRAME_MS), and bytes (FRAME_BYTES), in a message of jambonz */
const FRAME_MS = 20
const FRAME_BYTES = 320
/**
 * ms between two reads in batches (BATCH_MS), between two reads of a stream with a reader (LISTENING_MS), and
 * until the first read (FIRST_READ_MS), as in lib/audio/socket/frames/SocketReader.ts
 */
const BATCH_MS = 800
const LISTENING_MS = 40
const FIRST_READ_MS = 60
/**
 * ms before the end of a pause in which the caller's audio may arrive after the pause, and therefore may be
 * recorded
 */
const UNDER_WAY = 40
/** ms after a pause from which on all audio must be recorded again, if the network does not stall */
const SOON = 1_000

/** A span of time, which begins `from` ms after the caller's first audio and lasts `ms`. */
interface Span {
  from: number
  ms: number
}

interface Case {
  /** ms from jambonz' request for the socket to the first audio */
  setupMs: number
  /**
   * minimum ms for which audio is on its way (`latencyMs`), and ms that are added to it for each frame in
   * turn (`jitterMs`)
   */
  latencyMs: number
  jitterMs: readonly number[]
  /** spans in which the network delivers nothing */
  stalls: readonly Span[]
  /** spans in which jambonz sends no audio */
  gaps: readonly Span[]
  pauses: readonly Span[]
  /** ms between two reads; 0: audio is read when it arrives */
  readMs: number
  callMs: number
}

const span = (maxFrom: number, maxMs: number): fc.Arbitrary<Span> =>
  fc.record({ from: fc.integer({ min: 0, max: maxFrom }), ms: fc.integer({ min: 20, max: maxMs }) })

const theCase: fc.Arbitrary<Case> = fc.record({
  setupMs: fc.oneof(fc.integer({ min: 0, max: 150 }), fc.integer({ min: 0, max: 900 })),
  latencyMs: fc.integer({ min: 0, max: 40 }),
  jitterMs: fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 1, maxLength: 9 }),
  stalls: fc.array(fc.oneof(span(600, 700), span(4_000, 1_600)), { maxLength: 3 }),
  gaps: fc.array(span(4_000, 900), { maxLength: 2 }),
  pauses: fc.array(fc.oneof(span(300, 400), span(4_000, 2_000)), { minLength: 1, maxLength: 3 }),
  readMs: fc.constantFrom(0, LISTENING_MS, BATCH_MS),
  callMs: fc.integer({ min: 1_000, max: 8_000 })
})

interface Frame {
  /**
   * ms from the caller's first audio until the frame's last sample was said (`said`), and until the frame
   * arrives (`arrives`)
   */
  said: number
  arrives: number
}

/** Returns the frames of a call in order. */
function framesOf({ latencyMs, jitterMs, stalls, gaps, callMs }: Case): Frame[] {
  const frames: Frame[] = []
  let last = 0
  for (let said = FRAME_MS, i = 0; said <= callMs; said += FRAME_MS, i++) {
    if (gaps.some(({ from, ms }) => said > from && said <= from + ms)) continue
    let arrives = said + latencyMs + (jitterMs[i % jitterMs.length] ?? 0)
    // Sorted, because one stall may end during the next stall.
    for (const { from, ms } of [...stalls].sort((a, b) => a.from - b.from)) {
      if (arrives >= from && arrives < from + ms) arrives = from + ms
    }
    last = Math.max(last, arrives)
    frames.push({ said, arrives: last })
  }
  return frames
}

/** Returns the pauses of a case that neither overlap nor touch. */
function pausesOf({ pauses }: Case): Span[] {
  const apart: Span[] = []
  for (const pause of [...pauses].sort((a, b) => a.from - b.from)) {
    const before = apart.at(-1)
    if (before === undefined || pause.from > before.from + before.ms) apart.push(pause)
  }
  return apart
}

/** Collects the numbers of the frames that are delivered outside of pauses. */
class OpenFrames implements AudioSink {
  readonly numbers = new Set<number>()
  #isPrivate = false

  write(frame: Buffer): void {
    if (this.#isPrivate) return
    for (let at = 0; at < frame.length; at += FRAME_BYTES) this.numbers.add(frame.readUInt16LE(at))
    // A gap may cut a frame in two.
    this.numbers.add(frame.readUInt16LE(frame.length - SAMPLE_BYTES))
  }

  pause(): void {
    this.#isPrivate = true
  }

  resume(): void {
    this.#isPrivate = false
  }
}

/**
 * Passes the frames of a call through an AudioFeed on a simulated clock, as a ListenSocket does in real time.
 */
function take(one: Case, frames: readonly Frame[], pauses: readonly Span[]): OpenFrames {
  const sink = new OpenFrames()
  const feed = new AudioFeed(RATE, 1, () => {}, { begin() {}, end() {}, maxWait: (_, readMs) => readMs })
  feed.add(sink)
  feed.gaps.opened(-one.setupMs, -one.setupMs)
  let next = 0
  const read = (now: number): void => {
    const from = next
    while ((frames[next]?.arrives ?? Infinity) <= now) next++
    const atOnce = one.readMs === BATCH_MS ? next - from : 1
    for (let first = from; first < next; first += atOnce) {
      const message = Buffer.alloc(atOnce * FRAME_BYTES)
      for (let at = 0; at < message.length; at += SAMPLE_BYTES) {
        message.writeUInt16LE(first + Math.floor(at / FRAME_BYTES), at)
      }
      feed.take(message, atOnce, now)
    }
  }
  const end = (frames.at(-1)?.arrives ?? 0) + BATCH_MS
  let batchAt = Math.min(FIRST_READ_MS, one.readMs)
  for (let now = 0; now <= end; now++) {
    feed.gaps.readMs = feed.isPaused ? 0 : one.readMs
    const isDue = now === batchAt
    if (isDue) batchAt += one.readMs
    if (isDue || feed.gaps.readMs === 0) read(now)
    for (const { from, ms } of pauses) {
      if (now === from) {
        read(now)
        feed.pause('skip')
      } else if (now === from + ms) {
        read(now)
        feed.resume(now, false, false)
      }
    }
  }
  feed.end()
  return sink
}

/**
 * Random audio, pauses and network faults. All audio from before a pause must be recorded, and no audio of a
 * pause, even if it arrives late.
 */
export const pauses: FuzzTarget = {
  name: 'pauses',
  share: 1,
  async begin() {
    return {
      property: fc.property(theCase, (one) => {
        const frames = framesOf(one)
        const apart = pausesOf(one)
        const { numbers } = take(one, frames, apart)
        for (const [number, { said, arrives }] of frames.entries()) {
          for (const { from, ms } of apart) {
            const isSecret = said - FRAME_MS >= from && said <= from + ms - UNDER_WAY - one.latencyMs
            assert.ok(!isSecret || !numbers.has(number), `the private audio at ${said} ms is recorded`)
          }
          const isPublic = apart.every(
            ({ from, ms }) => arrives <= from || said > from + ms + SOON + one.setupMs
          )
          const isCalm = one.stalls.length === 0 && one.gaps.length === 0
          assert.ok(!isPublic || !isCalm || numbers.has(number), `the public audio at ${said} ms is missing`)
        }
      }),
      end: nothingToEnd
    }
  }
}
