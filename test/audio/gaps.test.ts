import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { standStill } from '../helpers/steadyClock.js'
import { streamWithSink, type PairOptions } from '../helpers/streamPair.js'
import { BATCH_INTERVAL } from '../../lib/audio/socket/frames/SocketReader.js'
import { FRAME_MS } from '../../lib/pcm/samples.js'
import { gapsFound, trueGaps, type TimedCall } from '../helpers/timedCall.js'

const FRAME_BYTES = 320
/** the ways in which a socket is read: as audio comes, for a listener, for `fillGaps`, for a recorder alone */
const READ_MS = [0, 40, 200, BATCH_INTERVAL]

const CALM: TimedCall = {
  callMs: 10_000,
  latencyMs: 5,
  jitterMs: [0, 7, 3, 11],
  gaps: [],
  networkStalls: [],
  processStalls: [],
  readMs: BATCH_INTERVAL
}
/** The places of a gap between two reads of a batch, which are 800 ms apart. */
const PLACES = Array.from({ length: 20 }, (_, i) => 3_000 + i * 40)

t.test('a gap of at least one read interval is listed once, at its place', async (t) => {
  for (const readMs of READ_MS) {
    for (const ms of [840, 1_300, 5_000]) {
      for (const from of PLACES) {
        const call = { ...CALM, readMs, gaps: [{ from, ms }], callMs: from + ms + 4_000 }
        const [gap] = trueGaps(call)
        const { placed, totalMs, longestMs } = gapsFound(call)
        const [found] = placed
        const told = `every ${readMs} ms: ${JSON.stringify({ gap, placed })}`
        t.ok(placed.length === 1 && found!.ms === totalMs && found!.ms === longestMs, told)
        t.ok(Math.abs(found!.atMs - gap!.atMs) <= 60 && Math.abs(found!.ms - gap!.ms) <= 80, told)
      }
    }
  }
})

t.test(
  'the place of a shorter gap in a batch is wrong by half of what the batch is longer at most',
  async (t) => {
    for (const ms of [300, 500, 700]) {
      const errors = PLACES.map((from) => {
        const call = { ...CALM, gaps: [{ from, ms }] }
        const { placed } = gapsFound(call)
        t.equal(placed.length, 1)
        return placed[0]!.atMs - trueGaps(call)[0]!.atMs
      })
      t.ok(
        Math.max(...errors.map(Math.abs)) <= (BATCH_INTERVAL - ms) / 2 + 60,
        `gap of ${ms} ms: ${errors.join()} ms`
      )
    }
  }
)

t.test('audio that the network delivers late, with silence between, is no gap', async (t) => {
  for (const readMs of READ_MS) {
    for (const from of PLACES) {
      t.equal(gapsFound({ ...CALM, readMs, networkStalls: [{ from, ms: 2_500 }] }).totalMs, 0)
    }
  }
})

t.test(
  'audio that waits in the kernel while the event loop stands still is no gap, not even at the end',
  async (t) => {
    for (const readMs of READ_MS) {
      for (const ms of [300, 900, 3_000]) {
        for (let from = CALM.callMs - ms; from <= CALM.callMs + 100; from += 60) {
          const call = { ...CALM, readMs, processStalls: [{ from, ms }] }
          t.equal(gapsFound(call).totalMs, 0, `read every ${readMs} ms, ${ms} ms from ${from}`)
        }
      }
    }
  }
)

t.test('a long gap counts although the call ends soon after it', async (t) => {
  for (const readMs of READ_MS) {
    const call = { ...CALM, readMs, gaps: [{ from: 3_010, ms: 6_700 }] }
    const { placed } = gapsFound(call)
    t.equal(placed.length, 1)
    t.ok(Math.abs(placed[0]!.atMs - 3_000) <= 60, JSON.stringify(placed))
    t.ok(placed[0]!.ms <= 6_720 && placed[0]!.ms >= 6_600 - readMs, JSON.stringify(placed))
  }
})

t.test(
  'a gap is measured as soon as the socket was read twice behind it, however late the end is read',
  async (t) => {
    for (const readMs of READ_MS) {
      for (const from of PLACES) {
        const callMs = from + 1_500 + 2 * BATCH_INTERVAL + 100
        const gaps = [{ from, ms: 1_500 }]
        const call = { ...CALM, readMs, gaps, callMs, processStalls: [{ from: callMs, ms: 2_000 }] }
        const { placed, totalMs } = gapsFound(call)
        const told = `read every ${readMs} ms, gap at ${from}: ${JSON.stringify(placed)}`
        t.ok(placed.length === 1 && Math.abs(totalMs - 1_500) <= 80, told)
      }
    }
  }
)

t.test('a gap is found if audio always arrives in bursts', async (t) => {
  const networkStalls = Array.from({ length: 60 }, (_, i) => ({ from: i * 250 + 1, ms: 249 }))
  for (const readMs of READ_MS) {
    const call = { ...CALM, readMs, networkStalls, gaps: [{ from: 4_010, ms: 2_000 }] }
    const { totalMs } = gapsFound(call)
    t.ok(Math.abs(totalMs - 2_000) <= 250, `read every ${readMs} ms: ${totalMs} ms`)
  }
})

/** Sends frames by the clock, as jambonz does: after a delay of this process, all frames that are due. */
async function sendByClock(
  socket: { send(frame: Buffer): void },
  frames: number,
  due: number
): Promise<void> {
  for (let frame = 0; frame < frames; frame++) {
    socket.send(Buffer.alloc(FRAME_BYTES, 1))
    const next = due + (frame + 1) * FRAME_MS
    if (next > performance.now()) await delay(next - performance.now())
  }
}

t.test('the last audio of a live stream, read after the event loop stood still, is no gap', async (t) => {
  const live: PairOptions = { listen: { bidirectional: { mode: 'streaming', sampleRate: 8000 } } }
  const listening: PairOptions = {
    begin: (stream) => {
      stream.keepLive()
    }
  }
  for (const [way, options] of Object.entries({ live, listening, batched: {} })) {
    const { stream, sink, socket } = await streamWithSink(t, options)
    await sendByClock(socket, 15, performance.now())
    // The call ends 200 ms after this moment, in the event loop's pause of 1.2 s.
    for (let frame = 0; frame < 10; frame++) socket.send(Buffer.alloc(FRAME_BYTES, 2))
    socket.close(1000)
    standStill(1_200)
    await stream.done
    t.match(stream.counts, { frames: 25, durationMs: 500, gapMs: 0, maxGapMs: 0 }, way)
    t.same(sink.gaps.filter(Boolean), [], way)
  }
})

t.test('a recorder that is fed in batches gets a gap behind the last audio before it', async (t) => {
  const { stream, sink, socket } = await streamWithSink(t)
  await sendByClock(socket, 70, performance.now())
  await delay(1_500)
  await sendByClock(socket, 200, performance.now())
  socket.close(1000)
  await stream.done
  const at = sink.gaps.findIndex((gap) => gap > 0)
  const before = sink.frames.slice(0, at).reduce((sum, { length }) => sum + length, 0) / FRAME_BYTES
  t.ok(Math.abs(before - 70) <= 10, `${before} frames before the gap, which is behind frame 70`)
  t.ok(stream.counts.gapMs >= 1_000, `${stream.counts.gapMs} ms`)
  t.equal(sink.audio.length, 270 * FRAME_BYTES)
})
