import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { WebSocket } from 'ws'
import type { DtmfEvent } from '../../lib/audio/socket/types.js'
import type { PauseMode } from '../../lib/model/schema.js'
import { WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { LISTEN, build, streamOf } from '../helpers/recordings.js'
import { Collector, streamPair, until } from '../helpers/streamPair.js'

t.jobs = 10
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

const FRAME_MS = 20
const FRAME_BYTES = 320
const [BEFORE, SECRET, AFTER, UNDECIDED] = [0x11, 0x22, 0x33, 0x44]
/**
 * ms before the end of a pause in which the caller's audio may arrive after the pause, and therefore may be
 * recorded or not
 */
const UNDER_WAY = 50
/** ms by which speak() may lag behind its schedule. If the lag is larger, the test makes another call. */
const MAX_LATE = 80
const ATTEMPTS = 6
const READS_DIRECTLY = process.env.FAST_READER !== 'off'
/** number of calls that take the batch timer 600 ms, because it reads one call every 20 ms */
const MANY = 30

/** A sink that collects the audio of pauses in `secret`, apart from all other audio. */
class PausedCollector extends Collector {
  readonly secret = new Collector()
  readonly pauses: Array<PauseMode | false> = []

  override write(frame: Buffer, gapMs: number): void {
    if (this.pauses.at(-1)) this.secret.write(frame, gapMs)
    else super.write(frame, gapMs)
  }

  pause(mode: PauseMode): void {
    this.pauses.push(mode)
  }

  resume(): void {
    this.pauses.push(false)
  }
}

/**
 * Returns the TCP connection of a websocket. While the connection is corked, messages collect and then leave
 * in one piece.
 */
const tcpOf = (socket: WebSocket) => (socket as unknown as { _socket: Socket })._socket
const count = (audio: Buffer, value: number) => audio.filter((byte) => byte === value).length

/**
 * Opens a stream that is recorded. The result's `frame()` sends 20 ms of audio whose bytes all have one
 * value.
 */
async function recorded(t: Test, { live: isLive = false } = {}) {
  const { recordings } = await build(t)
  const recorder = recordings.start(streamOf())
  const pair = await streamPair(t, {
    begin(live) {
      live.addSink(recorder, { live: false })
      if (isLive) live.keepLive()
    }
  })
  const frame = (value: number) => pair.socket.send(Buffer.alloc(FRAME_BYTES, value))
  const file = async () => {
    const { location } = await recorder.finish(LISTEN)
    return (await readFile(location)).subarray(WAV_HEADER_BYTES)
  }
  return { ...pair, frame, file }
}

interface Stall {
  /** ms from the beginning of the pause to the stall */
  from: number
  /** length of the stall in ms */
  lasts: number
}

/**
 * Sends a caller's audio in real time: `begins` ms before the pause, `paused` ms during the pause, and 1 s
 * after it. Audio that is due during the stall is sent at the end of the stall.
 */
async function speak(
  { stream, frame }: Awaited<ReturnType<typeof recorded>>,
  mode: PauseMode,
  paused: number,
  stall: Stall,
  begins: number
) {
  const begun = performance.now()
  const ends = begins + paused
  const counts = { before: 0, after: 0, lateMs: 0 }
  let [pausedAt, endedAt] = [Infinity, Infinity]
  for (let due = 0; due < ends + 1_000 + stall.lasts; due += FRAME_MS) {
    const inStall = due >= begins + stall.from && due < begins + stall.from + stall.lasts
    const sendAt = inStall ? begins + stall.from + stall.lasts : due
    const step = async (until: number) => {
      const left = begun + until - performance.now()
      if (left > 0) await delay(left)
      counts.lateMs = Math.max(counts.lateMs, performance.now() - begun - until)
    }
    if (pausedAt === Infinity && sendAt >= begins) {
      await step(begins)
      pausedAt = performance.now() - begun
      stream.beginPrivacy(mode)
    }
    if (endedAt === Infinity && sendAt >= ends) {
      await step(ends)
      endedAt = performance.now() - begun
      stream.endPrivacy()
    }
    await step(sendAt)
    if (pausedAt === Infinity) {
      counts.before++
      frame(BEFORE)
    } else if (due >= endedAt) {
      counts.after++
      frame(AFTER)
    } else frame(endedAt === Infinity || due < endedAt - UNDER_WAY ? SECRET : UNDECIDED)
  }
  return counts
}

/**
 * Asserts that all audio before the pause was recorded. ws, unlike the fast reader, may leave out audio that
 * is still unread when the pause begins.
 */
function assertBefore(t: Test, bytes: number, frames: number): void {
  if (READS_DIRECTLY) t.equal(bytes, frames * FRAME_BYTES, 'all audio before the pause is recorded')
  else t.ok(bytes <= frames * FRAME_BYTES)
}

for (const [row, [what, paused, stall, begins = 1_600]] of (
  [
    ['200 ms, ends with the pause', 600, { from: 380, lasts: 200 }],
    ['1,500 ms, ends with the pause', 1_800, { from: 280, lasts: 1_500 }],
    ['200 ms, ends after the pause', 600, { from: 460, lasts: 200 }],
    ['1,500 ms, ends after the pause', 1_000, { from: 200, lasts: 1_500 }],
    ['none', 400, { from: 0, lasts: 0 }],
    ['500 ms, in the first second of the call, ends after the pause', 500, { from: 200, lasts: 500 }, 300],
    ['300 ms, soon after the first audio, ends after the pause', 200, { from: 100, lasts: 300 }, 60],
    ['700 ms, from the first audio on, ends after the pause', 500, { from: 0, lasts: 700 }, 0]
  ] as const
).entries()) {
  for (const isLive of [false, true]) {
    const mode = (row % 2 === 0) === isLive ? 'skip' : 'silence'
    test(`no audio of a pause is recorded, ${isLive ? 'read live' : 'read in batches'}, pause as ${mode}, network stall: ${what}`, async (t) => {
      for (let attempt = 1; ; attempt++) {
        const call = await recorded(t, { live: isLive })
        const counts = await speak(call, mode, paused, stall, begins)
        call.socket.close(1000)
        await call.stream.done
        const file = await call.file()
        // If this process lagged, the audio was not sent in real time, so the test makes another call.
        if (counts.lateMs > MAX_LATE && attempt < ATTEMPTS) continue
        assertBefore(t, count(file, BEFORE), counts.before)
        t.equal(count(file, SECRET), 0)
        const after = count(file, AFTER) / FRAME_BYTES
        t.ok(after >= counts.after - 3, `${after} of ${counts.after} frames after the pause are recorded`)
        return
      }
    })
  }
}

test('a pause before the first batch is read is not recorded, even with many calls at once', async (t) => {
  // These calls take the next turns of the batch timer, so that the first batch of the call below is read
  // later.
  for (let call = 0; call < MANY; call++) await recorded(t)
  for (let attempt = 1; ; attempt++) {
    const call = await recorded(t)
    const counts = await speak(call, 'silence', 500, { from: 200, lasts: 500 }, 300)
    call.socket.close(1000)
    await call.stream.done
    const file = await call.file()
    if (counts.lateMs > MAX_LATE && attempt < ATTEMPTS) continue
    assertBefore(t, count(file, BEFORE), counts.before)
    t.equal(count(file, SECRET), 0)
    return
  }
})

test('sinks get all audio that arrived before a pause, and no audio of the pause', async (t) => {
  for (const isLive of [false, true]) {
    const sink = new PausedCollector()
    const { stream, socket } = await streamPair(t, {
      begin(live) {
        live.addSink(sink, { live: isLive })
      }
    })
    // Sends without waiting until the plugin has read, so that the audio is still in the kernel when the
    // pause begins or ends.
    const say = (value: number) =>
      new Promise((resolve) => socket.send(Buffer.alloc(FRAME_BYTES, value), resolve))
    await say(BEFORE)
    stream.beginPrivacy('skip')
    assertBefore(t, count(sink.audio, BEFORE), 1)
    await say(SECRET)
    stream.endPrivacy()
    // Sends the frame repeatedly. If the socket was slow to open, the first frame still counts as audio of the
    // pause.
    await until(() => {
      socket.send(Buffer.alloc(FRAME_BYTES, AFTER))
      return count(sink.audio, AFTER) >= FRAME_BYTES
    })
    t.same(sink.pauses, ['skip', false])
    t.equal(count(sink.audio, SECRET), 0)
    t.equal(count(sink.secret.audio, SECRET), FRAME_BYTES)
  }
})

// ws does not tell that a message has arrived in part, so this test needs the fast reader.
const testDirect = READS_DIRECTLY ? test : () => {}
testDirect('a pause that ends within a message leaves that message out', async (t) => {
  const sink = new PausedCollector()
  const { stream, live, socket } = await streamPair(t, {
    begin(live) {
      live.addSink(sink)
    }
  })
  socket.send(Buffer.alloc(FRAME_BYTES, BEFORE))
  await until(() => sink.audio.length > 0)
  stream.beginPrivacy()
  const secret = Buffer.alloc(FRAME_BYTES, SECRET)
  socket.send(secret.subarray(0, 160), { fin: false, binary: true })
  await until(() => live.socket.reader.isWithinMessage)
  stream.endPrivacy()
  socket.send(secret.subarray(160), { fin: true, binary: true })
  // Sends the frame repeatedly, since on a slow machine the first frame still counts as audio of the pause.
  await until(() => {
    socket.send(Buffer.alloc(FRAME_BYTES, AFTER))
    return count(sink.audio, AFTER) >= FRAME_BYTES
  })
  t.equal(count(sink.audio, SECRET), 0)
})

test('if an audio listener ends a pause, all audio that was read with its frame still belongs to the pause', async (t) => {
  const sink = new PausedCollector()
  const { stream, socket } = await streamPair(t, {
    begin(live) {
      live.addSink(sink)
    }
  })
  stream.beginPrivacy()
  stream.once('audio', () => stream.endPrivacy())
  // These five frames arrive in one TCP segment, so all of them were said in the pause.
  for (let i = 0; i < 5; i++) socket.send(Buffer.alloc(FRAME_BYTES, SECRET))
  await until(() => sink.secret.audio.length === 5 * FRAME_BYTES)
  t.equal(sink.audio.length, 0)
  // On a slow machine, more audio counts as audio of the pause: all audio that is read so late that it may
  // have been said in the pause.
  await until(() => {
    const isOver = sink.pauses.at(-1) === false
    if (!isOver) socket.send(Buffer.alloc(FRAME_BYTES, UNDECIDED))
    return isOver
  })
  socket.send(Buffer.alloc(FRAME_BYTES, AFTER))
  await until(() => count(sink.audio, AFTER) === FRAME_BYTES)
  t.equal(count(sink.audio, SECRET), 0)
})

test('the audio of a pause is not recorded, even if a slow reader delays it', async (t) => {
  const sink = new PausedCollector()
  const { stream, socket } = await streamPair(t, {
    limits: { maxBuffered: 65_536 },
    listen: { sampleRate: 64_000, mixType: 'stereo' },
    begin(live) {
      live.addSink(sink)
    }
  })
  stream.once('readable', () => {})
  stream.beginPrivacy()
  const secret = Buffer.alloc(5_120, SECRET)
  for (let i = 0; i < 400; i++) socket.send(secret)
  await until(() => stream.readableLength > 65_536)
  stream.endPrivacy()
  stream.on('data', () => {})
  await until(() => stream.counts.frames === 400)
  t.equal(count(sink.audio, SECRET), 0)
  const speaking = setInterval(() => socket.send(Buffer.alloc(5_120, AFTER)), FRAME_MS)
  t.teardown(() => clearInterval(speaking))
  await until(() => count(sink.audio, AFTER) > 0)
})

test('a pause applies to every sink, also to sinks added in the pause, and marks keys as private', async (t) => {
  const [first, second] = [new PausedCollector(), new PausedCollector()]
  const { stream, live, socket } = await streamPair(t, {
    begin(live) {
      live.addSink(first)
    }
  })
  const keys: DtmfEvent[] = []
  stream.on('dtmf', (key) => keys.push(key))
  const press = (digit: string) => socket.send(`{"event":"dtmf","dtmf":"${digit}","duration":"800"}`)
  press('1')
  await until(() => keys.length === 1)
  t.equal(stream.isPrivate, false)
  stream.beginPrivacy('skip')
  stream.beginPrivacy('silence')
  t.equal(stream.isPrivate, true)
  live.addSink(second)
  press('4')
  await until(() => keys.length === 2)
  stream.endPrivacy()
  stream.endPrivacy()
  // For the sinks, the pause ends with the first audio that can't have been said during the pause.
  await until(() => {
    socket.send(Buffer.alloc(FRAME_BYTES, AFTER))
    return count(second.audio, AFTER) > 0
  })
  t.same(first.pauses, ['skip', false])
  t.same(second.pauses, ['skip', false])
  t.same(keys, [
    { digit: '1', durationMs: 100 },
    { digit: '4', durationMs: 100, private: true }
  ])
})

test('keys before the end of a pause are private, and later keys public, even if they are read together', async (t) => {
  const { stream, socket } = await streamPair(t, { listen: { finishOnKey: '#' } })
  const keys: string[] = []
  stream.on('dtmf', ({ digit, private: isPrivate }) => {
    keys.push(isPrivate ? `(${digit})` : digit)
    if (digit !== '*') return
    if (stream.isPrivate) stream.endPrivacy()
    else stream.beginPrivacy()
  })
  // In `text`, a space stands for a frame of audio. Audio that was said in the pause may arrive after its
  // end.
  const send = (text: string) => {
    for (const digit of text) {
      if (digit === ' ') socket.send(Buffer.alloc(FRAME_BYTES, SECRET))
      else socket.send(`{"event":"dtmf","dtmf":"${digit}","duration":"800"}`)
    }
  }
  const tcp = tcpOf(socket)
  tcp.cork()
  send(' 5* 42*7 8*3*9#')
  tcp.uncork()
  socket.close(1000)
  t.match(await stream.done, { reason: 'finishOnKey' })
  t.equal(keys.join(''), '5*(4)(2)(*)78*(3)(*)9#')
  t.equal(stream.digits, '#')
})

test('stream.digits lacks the key that ended the listen if the key was pressed in a pause', async (t) => {
  for (const isPrivate of [true, false]) {
    const { stream, socket } = await streamPair(t, { listen: { finishOnKey: '#' } })
    if (isPrivate) stream.beginPrivacy()
    socket.send('{"event":"dtmf","dtmf":"#","duration":"800"}')
    socket.close(1000)
    t.match(await stream.done, { reason: 'finishOnKey' })
    t.equal(stream.digits, isPrivate ? undefined : '#')
  }
})
