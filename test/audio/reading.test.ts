import { once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { AudioStream } from '../../lib/audio/stream/AudioStream.js'
import { bytesOf, samplesOf } from '../../lib/pcm/samples.js'
import { closing } from '../helpers/socket.js'
import { ramp } from '../helpers/listen.js'
import { Collector, streamWithSink, until, type PairOptions } from '../helpers/streamPair.js'

t.jobs = 10
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

const FAST = process.env.FAST_READER !== 'off'
const STEREO = { mixType: 'stereo' as const, sampleRate: 64_000 }

/** Opens a stream with a sink in place of the recorder, and a function that sends audio to it. */
async function begun(t: Test, options?: PairOptions) {
  const pair = await streamWithSink(t, options)
  const send = (audio: Buffer, size = 320) => {
    for (let at = 0; at < audio.length; at += size) pair.socket.send(audio.subarray(at, at + size))
  }
  return { ...pair, send }
}

test('a sample that is split between two frames is joined again', async (t) => {
  const { stream, sink, send, socket } = await begun(t, { listen: { mixType: 'stereo' } })
  const frames: number[] = []
  stream.on('audio', ({ length }) => frames.push(length))
  const audio = ramp(100)
  send(audio, 333)
  send(Buffer.alloc(3))
  socket.close(1000)
  await stream.done
  t.ok(frames.every((length) => length % 4 === 0))
  t.ok(sink.audio.equals(audio), 'the last three bytes are no complete sample frame, and are dropped')
})

test('recorder, reader, audio listener and each channel stream get all audio', async (t) => {
  const { stream, sink, send, socket } = await begun(t, { listen: { mixType: 'stereo' } })
  const tapped: Buffer[] = []
  stream.on('audio', (frame) => tapped.push(Buffer.from(frame)))
  const caller = buffer(stream.channel('caller'))
  const callee = buffer(stream.channel('callee'))
  const read = buffer(stream)
  const audio = ramp(1000)
  send(audio, 640)
  socket.close(1000)
  t.ok((await read).equals(audio))
  t.ok(sink.audio.equals(audio))
  t.ok(Buffer.concat(tapped).equals(audio))
  const sides = samplesOf(audio)
  t.ok((await caller).equals(bytesOf(sides.filter((_, i) => i % 2 === 0))))
  t.ok((await callee).equals(bytesOf(sides.filter((_, i) => i % 2 === 1))))
})

test('channel() of a mono stream, or of an unknown name, throws an error that says what to do', async (t) => {
  const { stream } = await begun(t)
  t.throws(() => stream.channel('callee'), {
    code: 'FST_JAMBONZ_AUDIO_CHANNEL',
    message: /mixType: 'stereo'/
  })
  t.throws(() => stream.channel('left' as never), {
    code: 'FST_JAMBONZ_AUDIO_CHANNEL',
    message: /'caller' or 'callee'/
  })
  t.ok(stream.channel('caller'))
})

test('a stream can be read by for await, by pipeline and as a web stream', async (t) => {
  const audio = ramp(200)
  const readers: Array<(stream: AudioStream) => Promise<Buffer>> = [
    async (stream) => {
      const frames: Buffer[] = []
      for await (const frame of stream) frames.push(frame)
      return Buffer.concat(frames)
    },
    async (stream) => {
      const frames: Buffer[] = []
      await pipeline(
        stream,
        new Writable({
          write(frame, _encoding, done) {
            frames.push(frame)
            done()
          }
        })
      )
      return Buffer.concat(frames)
    },
    async (stream) => Buffer.from(await new Response(Readable.toWeb(stream) as ReadableStream).arrayBuffer())
  ]
  for (const read of readers) {
    const { stream, send, socket } = await begun(t)
    const reading = read(stream)
    send(audio)
    socket.close(1000)
    t.ok((await reading).equals(audio))
  }
})

test('no audio is buffered without a reader', async (t) => {
  const { stream, send, sink } = await begun(t)
  send(ramp(2000))
  await until(() => sink.audio.length === 32_000)
  t.equal(stream.readableLength, 0)
})

test('a reader that stalls for 5 s loses no audio, uses bounded memory, and delays no other reader', async (t) => {
  const seconds = 5
  const maxBuffered = 524_288
  const { stream, send, sink } = await begun(t, { listen: STEREO, limits: { maxBuffered } })
  let tapped = 0
  let most = 0
  stream.on('audio', ({ length }) => {
    tapped += length
  })
  const audio = Buffer.alloc(64_000 * 4 * seconds, 'a moving tale ')
  stream.once('readable', () => {})
  send(audio, 5120)
  await until(() => stream.readableLength > maxBuffered)
  await until(() => {
    most = Math.max(most, stream.readableLength)
    return sink.audio.length === tapped && tapped === stream.readableLength && most > maxBuffered
  })
  t.ok(most <= maxBuffered + 65_536, `at most ${most} of ${audio.length} bytes are buffered`)
  t.equal(sink.audio.length, tapped)
  t.comment(`${audio.length} bytes sent, at most ${most} buffered in the process, limit ${maxBuffered}`)
  const read: Buffer[] = []
  for await (const frame of stream) {
    read.push(frame)
    if (read.reduce((sum, { length }) => sum + length, 0) === audio.length) break
  }
  t.ok(Buffer.concat(read).equals(audio))
  t.ok(sink.audio.equals(audio))
})

test('a slow reader delays neither the end of the listen nor its last frame', async (t) => {
  const { stream, live, send, sink, socket } = await begun(t, {
    listen: STEREO,
    limits: { maxBuffered: 65_536 }
  })
  stream.once('readable', () => {})
  const audio = Buffer.alloc(1_000_000, 1)
  send(audio, 5120)
  await until(() => stream.readableLength > 65_536)
  socket.close(1000)
  live.readToEnd()
  t.match(await stream.done, { reason: 'closed', closeCode: 1000 })
  t.equal(sink.audio.length, audio.length)
  t.equal((await buffer(stream)).length, audio.length)
})

test('a handler that begins to read late loses no audio', async (t) => {
  let ready: (() => void) | undefined
  const read: Promise<Buffer>[] = []
  const { stream, send, sink, socket } = await begun(t, {
    begin(live, stream) {
      live.keepFor(
        (async () => {
          await new Promise<void>((resolve) => {
            ready = resolve
          })
          read.push(buffer(stream))
        })()
      )
    }
  })
  send(ramp(2000))
  await until(() => sink.audio.length === 32_000)
  t.equal(stream.readableLength, 32_000)
  ready?.()
  socket.close(1000)
  await stream.done
  t.ok((await read[0])?.equals(ramp(2000)))
})

test('audio buffered for a handler that does not read is dropped after 10 s, or when the handler returns', async (t) => {
  let settle: (() => void) | undefined
  const { stream, live, send, sink } = await begun(t, {
    begin: (live) =>
      live.keepFor(
        new Promise<void>((resolve) => {
          settle = resolve
        })
      )
  })
  send(ramp(5000))
  await until(() => sink.audio.length === 80_000)
  t.equal(stream.readableLength, 80_000)
  send(ramp(5100))
  await until(() => sink.audio.length === 161_600)
  t.equal(stream.readableLength, 0)
  live.keepFor(
    new Promise<void>((resolve) => {
      settle = resolve
    })
  )
  send(ramp(100))
  await until(() => sink.audio.length === 163_200)
  t.equal(stream.readableLength, 1600)
  settle?.()
  await until(() => stream.readableLength === 0)
})

test('leaving a for await loop ends the listen; the recorder gets the rest of the audio', async (t) => {
  const { stream, send, socket, sink, sent } = await begun(t)
  send(ramp(100))
  for await (const frame of stream) if (frame.length > 0) break
  await until(() => sent.length === 1)
  t.same(sent, [{ type: 'disconnect' }])
  send(ramp(100))
  socket.close(1000)
  t.match(await stream.done, { reason: 'disconnected' })
  t.ok(sink.audio.equals(Buffer.concat([ramp(100), ramp(100)])))
})

test("an error in the reader's pipeline ends only this stream, with 1011", async (t) => {
  const { stream, send, socket, log } = await begun(t)
  const failed = pipeline(
    stream,
    new Writable({
      write(_frame, _encoding, done) {
        done(new Error('disk full'))
      }
    })
  )
  send(ramp(20))
  await t.rejects(failed, { message: 'disk full' })
  t.match(await closing(socket), { code: 1011 })
  t.match(await stream.done, { reason: 'error', error: { message: 'disk full' } })
  t.match(log, [{ err: { message: 'disk full' } }])
})

test('an audio listener that throws ends its stream with 1011; the recorder still gets the frame', async (t) => {
  const { stream, send, socket, sink } = await begun(t)
  stream.on('audio', () => {
    throw new Error('oops')
  })
  send(ramp(20))
  t.match(await closing(socket), { code: 1011 })
  t.match(await stream.done, { reason: 'error', error: { message: 'oops' } })
  t.ok(sink.audio.equals(ramp(20)))
})

test('a listener of any event that rejects ends its stream with 1011, not the process', async (t) => {
  const reject = async () => {
    throw new Error('oops')
  }
  const listening: Array<(stream: AudioStream) => unknown> = [
    (stream) => stream.on('audio', reject),
    (stream) => stream.on('data', reject),
    (stream) => stream.on('dtmf', reject),
    (stream) => stream.channel('caller').on('data', reject)
  ]
  for (const listen of listening) {
    const { stream, send, socket, log } = await begun(t, { listen: { mixType: 'stereo' } })
    listen(stream)
    send(ramp(20))
    socket.send('{"event":"dtmf","dtmf":"1","duration":"100"}')
    t.match(await closing(socket), { code: 1011 })
    t.match(await stream.done, { reason: 'error', error: { message: 'oops' } })
    t.match(log, [{ err: { message: 'oops' } }])
  }
})

test('a listener that rejects after the end of the stream does not change endReason', async (t) => {
  const { stream, socket, log, sink, send } = await begun(t)
  stream.on('data', () => {})
  stream.on('end', async () => {
    throw new Error('oops')
  })
  send(ramp(20))
  await until(() => sink.audio.length === 320)
  socket.close(1000)
  t.match(await stream.done, { reason: 'closed' })
  await until(() => log.length > 0)
  t.match(log, [{ err: { message: 'oops' } }])
  t.match(await stream.done, { reason: 'closed', error: undefined })
})

test('a stream that only audio listeners read still emits end', async (t) => {
  const { stream, socket, send } = await begun(t)
  stream.on('audio', () => {})
  const ended = once(stream, 'end')
  send(ramp(20))
  socket.close(1000)
  await ended
  await until(() => stream.destroyed)
})

test('audio is read in batches without an audio listener, and at once with one', async (t) => {
  const { stream, sink, socket } = await begun(t)
  const timer = setInterval(() => socket.send(ramp(20)), 20)
  t.teardown(() => clearInterval(timer))
  await until(() => stream.counts.frames >= 40)
  // ws delivers the messages of a batch one by one, so only the fast reader merges them.
  if (FAST) t.ok(sink.frames.length <= 12, `40 messages in ${sink.frames.length} reads`)
  let heard = 0
  stream.on('audio', () => {
    heard++
  })
  await until(() => heard > 0)
  const before = { heard, frames: stream.counts.frames }
  await until(() => heard - before.heard >= 20)
  const messages = stream.counts.frames - before.frames
  t.ok(messages <= 1.2 * (heard - before.heard), `${messages} messages in ${heard - before.heard} reads`)
})

test('the socket is read every 40 ms if the application only listens, and at once if the application speaks', async (t) => {
  const soon = FAST ? 40 : 0
  const { stream, live, send } = await begun(t)
  const { reader } = live.socket
  t.equal(reader.readMs, 800, 'nobody listens')
  const frames: Buffer[] = []
  const keep = (frame: Buffer) => frames.push(Buffer.from(frame))
  stream.on('audio', keep)
  t.equal(reader.readMs, soon, 'a tap')
  send(ramp(100))
  await until(() => frames.length === 5)
  t.ok(Buffer.concat(frames).equals(ramp(100)))
  t.ok(
    frames.every(({ length }) => length === 320),
    'each message is delivered alone'
  )
  stream.off('audio', keep)
  t.equal(reader.readMs, 800, 'the last listener was removed')
  stream.on('dtmf', () => {})
  t.equal(reader.readMs, soon, 'keys')
  stream.beginPrivacy()
  t.equal(reader.readMs, 0, 'a pause')
  stream.endPrivacy()
  // For the sink, the pause ends with the first audio that can't have been said during the pause.
  await until(() => {
    send(ramp(20))
    return reader.readMs === soon
  })
  stream.write(Buffer.alloc(320))
  t.equal(reader.readMs, 0, 'the application speaks')

  const { stream: left, live: leftLive } = await begun(t)
  left.once('audio', () => {})
  left.on('message', () => {})
  left.removeAllListeners('audio').removeAllListeners('message')
  t.equal(leftLive.socket.reader.readMs, 800, 'all listeners have left')

  const agent = await begun(t, { listen: { bidirectional: { mode: 'streaming', sampleRate: 8000 } } })
  agent.stream.resume()
  t.equal(agent.live.socket.reader.readMs, 0, 'the application will speak')
})

test('readNow() reads the audio before the next batch is due', async (t) => {
  const { live, sink, socket } = await begun(t)
  socket.send(ramp(20))
  const asked = performance.now()
  await until(() => {
    live.readNow()
    return sink.audio.length > 0
  })
  t.ok(performance.now() - asked < 400, 'the read did not wait for the next batch')
  t.ok(sink.audio.equals(ramp(20)))
})

test('a sink gets no more audio after its removal', async (t) => {
  const other = new Collector()
  const { live, send, sink } = await begun(t)
  const remove = live.addSink(other)
  send(ramp(20))
  await until(() => other.frames.length === 1)
  remove()
  remove()
  // Keep sending. If a busy machine sends a frame late, it looks like a frame after a gap, and is held back
  // until more frames arrive.
  await until(() => {
    send(ramp(20))
    return sink.frames.length > 1
  })
  t.equal(other.frames.length, 1)
})

test('`audio` counts frames, bytes and ms', async (t) => {
  const { stream, send, socket } = await begun(t, { listen: { mixType: 'stereo', sampleRate: 16_000 } })
  send(ramp(400), 1280)
  socket.close(1000)
  await stream.done
  t.same(stream.counts, { frames: 5, bytes: 6400, durationMs: 100, gapMs: 0, maxGapMs: 0 })
})

/** Sends the frames `from` to `to` by the clock, as jambonz does. `due`: the time of the first of them. */
async function sendByClock(socket: { send(frame: Buffer): void }, from: number, to: number, due: number) {
  for (let frame = from; frame < to; frame++) {
    socket.send(Buffer.alloc(320, frame))
    const next = due + (frame - from + 1) * 20
    if (next > performance.now()) await delay(next - performance.now())
  }
}

test('the time between the last audio and the next read is no gap', async (t) => {
  const ends = async (frames: number, readAfter?: number) => {
    const { stream, sink, socket, live } = await begun(t)
    await sendByClock(socket, 0, frames, performance.now())
    if (readAfter !== undefined) {
      await delay(readAfter)
      live.readToEnd()
    }
    socket.close(1000)
    await stream.done
    t.same(stream.counts, { frames, bytes: frames * 320, durationMs: frames * 20, gapMs: 0, maxGapMs: 0 })
    t.same(sink.gaps.filter(Boolean), [])
  }
  // The socket is read every 800 ms, so these streams end at different times before the next read.
  const later = [30, 35, 40, 45, 50, 55, 60, 65].map((frames) => ends(frames))
  await Promise.all([...later, ends(45, 300), ends(50, 500)])
})

test('audio that is missing just before the last audio is a gap', async (t) => {
  const { stream, sink, socket } = await begun(t)
  await sendByClock(socket, 0, 15, performance.now())
  // Long, since up to 0.8 s, and all the time that a slow machine stands still, do not count.
  await delay(4_000)
  await sendByClock(socket, 15, 20, performance.now())
  socket.close(1000)
  await stream.done
  const { gapMs } = stream.counts
  t.ok(gapMs >= 1_000, `${gapMs} ms`)
  t.equal(
    sink.gaps.reduce((sum, gap) => sum + gap, 0),
    gapMs,
    'the sinks get the same gap'
  )
  t.equal(sink.audio.length, 20 * 320)
})

test('missing audio is a gap before the next frame; a stall is no gap if the delayed audio follows', async (t) => {
  const { stream, sink, socket } = await begun(t, {
    begin: (live) => {
      live.keepLive()
    }
  })
  // Sends by the clock, as jambonz does: if this process was delayed, all frames that are due are sent at
  // once.
  let due = performance.now()
  const send = async (from: number, to: number) => {
    for (let frame = from; frame < to; frame++) {
      socket.send(Buffer.alloc(320, frame))
      due += 20
      if (due > performance.now()) await delay(due - performance.now())
    }
  }
  await send(0, 10)
  await delay(500)
  await send(10, 45)
  t.equal(stream.counts.gapMs, 0)
  due += 600
  await delay(Math.max(0, due - performance.now()))
  await send(45, 60)
  socket.close(1000)
  await stream.done
  const { gapMs, maxGapMs } = stream.counts
  t.ok(gapMs >= 500, `${gapMs} ms`)
  t.equal(maxGapMs, Math.max(...sink.gaps))
  t.equal(
    sink.frames[sink.gaps.findIndex((gap) => gap > 0)]?.[0],
    45,
    'the gap is before the frame that ended it'
  )
  t.same(
    sink.frames.map((frame) => frame[0]),
    Array.from({ length: 60 }, (_, i) => i)
  )
})
