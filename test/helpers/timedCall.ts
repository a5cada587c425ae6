import { AudioFeed } from '../../lib/audio/socket/AudioFeed.js'
import { LoopTurns, TURN_MS } from '../../lib/audio/socket/GapMeter.js'
import { LISTENING_INTERVAL } from '../../lib/audio/socket/frames/SocketReader.js'
import type { AudioSink } from '../../lib/audio/socket/types.js'
import { FRAME_MS } from '../../lib/pcm/samples.js'

const RATE = 8000
/** bytes of audio in a message of jambonz, which has FRAME_MS */
const FRAME_BYTES = 320
/** ms until the first read, as in lib/audio/socket/frames/SocketReader.ts */
const FIRST_READ_MS = 60

/** A span of time, which begins `from` ms after the caller's first audio and lasts `ms`. */
export interface Span {
  from: number
  ms: number
}

export interface TimedCall {
  callMs: number
  /** minimum ms for which audio is on its way, and ms that are added to it for each frame in turn */
  latencyMs: number
  jitterMs: readonly number[]
  /** spans in which jambonz sends no audio */
  gaps: readonly Span[]
  /** spans in which the network delivers nothing */
  networkStalls: readonly Span[]
  /** spans in which the event loop of this process stands still */
  processStalls: readonly Span[]
  /** ms between two reads; 0: audio is read when it arrives */
  readMs: number
  /** true if a batch is delivered message by message, as over TLS */
  single?: boolean
  /** ms from the caller's first audio until the first read */
  firstReadMs?: number
}

/** A gap, behind the first `atMs` ms of audio. */
export interface PlacedGap {
  atMs: number
  ms: number
}

interface Frame {
  /** ms from the caller's first audio until the frame arrives */
  arrives: number
}

const isIn = (spans: readonly Span[], now: number): boolean =>
  spans.some(({ from, ms }) => now >= from && now < from + ms)

/** Returns the gaps of a call, each between two frames that jambonz sends. */
export function trueGaps({ gaps, callMs }: TimedCall): PlacedGap[] {
  const found: PlacedGap[] = []
  let frames = 0
  let missing = 0
  for (let said = FRAME_MS; said <= callMs; said += FRAME_MS) {
    if (isIn(gaps, said)) missing += FRAME_MS
    else {
      if (missing > 0 && frames > 0) found.push({ atMs: frames * FRAME_MS, ms: missing })
      missing = 0
      frames++
    }
  }
  return found
}

function framesOf({ latencyMs, jitterMs, networkStalls, gaps, callMs }: TimedCall): Frame[] {
  const frames: Frame[] = []
  let last = 0
  for (let said = FRAME_MS, i = 0; said <= callMs; said += FRAME_MS, i++) {
    if (isIn(gaps, said)) continue
    let arrives = said + latencyMs + (jitterMs[i % jitterMs.length] ?? 0)
    for (const { from, ms } of [...networkStalls].sort((a, b) => a.from - b.from)) {
      if (arrives >= from && arrives < from + ms) arrives = from + ms
    }
    last = Math.max(last, arrives)
    frames.push({ arrives: last })
  }
  return frames
}

/** Keeps the gaps that it gets, and the numbers of the frames. */
class Gaps implements AudioSink {
  readonly found: PlacedGap[] = []
  bytes = 0

  write(frame: Buffer, ms: number): void {
    if (ms > 0) this.found.push({ atMs: (this.bytes / FRAME_BYTES) * FRAME_MS, ms })
    this.bytes += frame.length
  }
}

/**
 * Passes the audio of a call through an AudioFeed on a simulated clock, as a ListenSocket does in real time. Returns the
 * gaps that a recorder gets, and those in the counts.
 */
export function gapsFound(call: TimedCall): { placed: PlacedGap[]; totalMs: number; longestMs: number } {
  const frames = framesOf(call)
  const turns = new SimulatedTurns()
  const feed = new AudioFeed(RATE, 1, () => {}, turns)
  const sink = new Gaps()
  feed.add(sink)
  feed.gaps.opened(0, 0)
  feed.gaps.readMs = call.readMs
  const closesAt = Math.max(call.callMs + call.latencyMs, frames.at(-1)?.arrives ?? 0)
  let next = 0
  let readAt = call.firstReadMs ?? Math.min(FIRST_READ_MS, call.readMs)
  // ms for which the event loop has run. The timers for the reads count these only.
  let ran = 0
  for (let now = 0; ; now++) {
    if (isIn(call.processStalls, now)) continue
    turns.turn(now)
    if (++ran < readAt) continue
    readAt = ran + Math.max(1, call.readMs)
    const from = next
    while ((frames[next]?.arrives ?? Infinity) <= now) next++
    const atOnce = call.readMs > LISTENING_INTERVAL && call.single !== true ? next - from : 1
    for (let first = from; first < next; first += atOnce) {
      feed.take(Buffer.alloc(atOnce * FRAME_BYTES), atOnce, now)
    }
    if (now >= closesAt) break
  }
  feed.end()
  return { placed: sink.found, totalMs: feed.gaps.total, longestMs: feed.gaps.longest }
}

/** The turns of an event loop on a simulated clock. */
class SimulatedTurns extends LoopTurns {
  #latest = 0

  override begin(): void {}

  override end(): void {}

  turn(now: number): void {
    if (now - this.#latest < TURN_MS) return
    this.#latest = now
    this.note(now)
  }
}
