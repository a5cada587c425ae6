import t from 'tap'
import { speechLike, tone } from '../../lib/simulator/audio/generate.js'
import { loadSpeech } from '../../lib/simulator/audio/load.js'
import { bytesOf, mix } from '../../lib/simulator/audio/pcm.js'
import { resample, Resampler } from '../../lib/simulator/audio/resampler.js'
import { parseWav, wavOf } from '../../lib/simulator/audio/wav.js'
import { Clock } from '../../lib/simulator/clock.js'
import { encodeFrame, FrameDecoder, OPCODE } from '../../lib/simulator/fork/frames.js'
import { throughTokenizer } from '../../lib/simulator/fork/tokenizer.js'
import { SampleQueue } from '../../lib/simulator/media/samples.js'
import { memorySocket } from '../../lib/simulator/memorySocket.js'
import { standStill } from '../helpers/steadyClock.js'
import { ramp, serverFrame } from './peers.js'

t.test('at speed Infinity, events run without waiting, in the order of their times', async (t) => {
  const clock = new Clock(Infinity)
  const order: Array<string | number> = []
  const begun = performance.now()
  let ticks = 0
  clock.at(3_600_000, () => order.push('hour'))
  clock.at(45, () => order.push('45'))
  clock.at(20, () => order.push('20 timer'))
  clock.startTicks(
    (now) => {
      order.push(now)
      if (++ticks === 4) clock.stopTicks()
    },
    () => true
  )
  const cancelled = clock.at(50, () => order.push('cancelled'))
  cancelled()
  await clock.wait(4_000_000)
  t.strictSame(order, ['20 timer', 20, 40, '45', 60, 80, 'hour'])
  t.equal(clock.now(), 4_000_000)
  t.ok(performance.now() - begun < 10_000)
  clock.stop()
})

t.test(
  'at a finite speed, a process that was blocked runs the missed ticks, so no tick is lost',
  async (t) => {
    const clock = new Clock(10)
    const times: number[] = []
    clock.startTicks(
      (now) => times.push(now),
      () => true
    )
    await clock.wait(100)
    standStill(60)
    await clock.wait(100)
    t.ok(times.length >= 30, `${times.length} ticks`)
    t.ok(
      times.every((at, i) => i === 0 || at - times[i - 1]! === 20),
      'each tick runs, with its own time'
    )
    clock.stop()
  }
)

t.test('a wait ends if its signal aborts, and deadlines scale with the speed', async (t) => {
  const clock = new Clock(1)
  const abort = new AbortController()
  const waited = clock.wait(60_000, abort.signal)
  abort.abort()
  await waited
  await clock.wait(60_000, abort.signal)
  clock.stop()
  const fast = new Clock(20)
  const begun = performance.now()
  await new Promise<void>((resolve) => fast.timeout(10_000, resolve))
  const took = performance.now() - begun
  t.ok(took > 480 && took < 3_000, `${took} ms for 10 s at speed 20`)
  fast.timeout(1, () => t.fail('a cancelled timeout ran'))()
})

t.test('a held clock stops, and later continues at the pace of real time', async (t) => {
  const clock = new Clock(Infinity)
  const release = clock.hold()
  const begun = performance.now()
  await clock.wait(50)
  const took = performance.now() - begun
  t.ok(took >= 1_040, `${took} ms`)
  release()
  release()
  clock.stop()
})

t.test(
  'the resampler returns the exact number of samples, for any pieces, and keeps level and pitch',
  async (t) => {
    const sine = tone(1_000, 440, 8_000)
    for (const to of [8_000, 16_000, 24_000, 48_000, 64_000, 11_025]) {
      const whole = resample(sine, 8_000, to)
      t.equal(whole.length, to)
      const pieces = new Resampler(8_000, to)
      const parts = [
        sine.subarray(0, 160),
        sine.subarray(160, 161),
        sine.subarray(161, 161),
        sine.subarray(161)
      ].map((part) => pieces.process(part))
      if (to !== 8_000) {
        t.strictSame(Int16Array.from(parts.flatMap((part) => [...part])), whole, `${to} in pieces`)
      }
      const peak = Math.max(...whole.subarray(to / 4, to / 2))
      t.ok(peak > 7_600 && peak < 8_400, `peak ${peak} at ${to}`)
      let crossings = 0
      for (let i = Math.floor(to / 2); i < whole.length; i++) {
        if (whole[i - 1]! < 0 && whole[i]! >= 0) crossings++
      }
      t.ok(Math.abs(crossings - 220) <= 1, `${crossings} periods in half a second`)
    }
    const square = Int16Array.from({ length: 800 }, (_, i) => (i % 40 < 20 ? 32_767 : -32_768))
    t.ok(
      [...resample(square, 8_000, 16_000)].every((sample) => sample >= -32_768 && sample <= 32_767),
      'overshoot saturates'
    )
    t.equal(resample(tone(1_000, 440, 48_000), 48_000, 8_000).length, 8_000)
    const high = resample(tone(1_000, 6_000, 16_000), 16_000, 8_000)
    t.ok(Math.max(...high.subarray(1_000, 7_000)) < 1_500, "what 8 kHz can't carry is filtered out")
  }
)

t.test(
  'WAV files are read and written; only the first channel is read, unknown chunks are skipped',
  async (t) => {
    const pcm = ramp(100)
    t.strictSame(parseWav(wavOf(pcm, 16_000)), {
      samples: Int16Array.from({ length: 100 }, (_, i) => i + 1),
      sampleRate: 16_000
    })
    const stereo = wavOf(pcm, 8_000)
    stereo.writeUInt16LE(2, 22)
    t.strictSame([...parseWav(stereo).samples.subarray(0, 3)], [1, 3, 5])
    const withList = Buffer.concat([
      stereo.subarray(0, 36),
      Buffer.from('LIST\x03\x00\x00\x00abc\x00'),
      stereo.subarray(36)
    ])
    t.equal(parseWav(withList).samples.length, 50)
    t.throws(() => parseWav(stereo.subarray(0, 40)), /no samples/)
    for (const [at, value] of [
      [20, 7],
      [22, 0]
    ] as const) {
      const odd = wavOf(pcm, 8_000)
      odd.writeUInt16LE(value, at)
      t.throws(() => parseWav(odd), /convert it to 16-bit PCM/)
    }
    const extensible = wavOf(pcm, 8_000)
    extensible.writeUInt16LE(0xfffe, 20)
    t.equal(parseWav(extensible).samples.length, 100)
    t.throws(
      () => parseWav(Buffer.concat([stereo.subarray(0, 12), Buffer.from('fmt \x02\x00\x00\x00\x01\x00')])),
      /cut off/
    )
  }
)

t.test(
  'the built-in speech is the same in each call, and has louder parts, quieter parts and pauses',
  async (t) => {
    const { samples } = speechLike(3, 8_000)
    t.strictSame(samples, speechLike(3, 8_000).samples)
    t.ok(Math.max(...samples) > 5_000)
    const levels = Array.from({ length: 150 }, (_, i) =>
      Math.max(...samples.subarray(i * 160, (i + 1) * 160))
    )
    t.ok(levels.some((level) => level < 100) && levels.some((level) => level > 5_000))
  }
)

t.test("the parts of a list are spoken in order, each at the call's rate", async (t) => {
  const one = ramp(800)
  const said = loadSpeech(
    [{ pcm: one, sampleRate: 8_000 }, { silenceMs: 50 }, [wavOf(ramp(800), 8_000)]],
    8_000
  )
  t.ok(bytesOf(said).equals(Buffer.concat([one, Buffer.alloc(800), one])))
  t.equal(
    loadSpeech(
      [
        { pcm: one, sampleRate: 8_000 },
        { pcm: one, sampleRate: 16_000 }
      ],
      16_000
    ).length,
    1_600 + 800
  )
  t.equal(loadSpeech([], 8_000).length, 0)
  t.throws(() => loadSpeech([{ silenceMs: 50 }, 'nowhere.wav'], 8_000), {
    code: 'FST_JAMBONZ_SIM_AUDIO',
    message: /nowhere\.wav/
  })
})

t.test('mixed samples are clipped at the largest sample value', async (t) => {
  const into = Int16Array.of(30_000, -30_000, 1)
  mix(into, Int16Array.of(10_000, -10_000, 1))
  t.strictSame([...into], [32_767, -32_768, 2])
})

t.test('masked frames of every length class are decoded', async (t) => {
  const decoder = new FrameDecoder()
  for (const size of [0, 125, 126, 65_535, 65_536]) {
    const frame = encodeFrame(OPCODE.binary, Buffer.alloc(size, 7))
    t.equal(frame[1]! & 0x80, 0x80)
    for (const half of [frame.subarray(0, 1), frame.subarray(1)]) decoder.push(half)
    const decoded = decoder.next()!
    t.ok(decoded.masked && decoded.final && decoded.payload.equals(Buffer.alloc(size, 7)), `${size} bytes`)
    t.equal(decoder.next(), undefined)
  }
  decoder.push(serverFrame(0x82, Buffer.alloc(70_000)).subarray(0, 9))
  t.equal(decoder.next(), undefined, 'an incomplete header')
  const short = new FrameDecoder()
  short.push(serverFrame(0x82, Buffer.alloc(200)).subarray(0, 3))
  t.equal(short.next(), undefined)
})

t.test("FreeSWITCH's tokenizer unescapes, unquotes, cuts and trims a text", async (t) => {
  t.equal(throughTokenizer('{"a":1}', '|'), '{"a":1}')
  t.equal(throughTokenizer('a\\"b\\\\c\\nd\\se\\x', '|'), 'a"b\\c\nd e\\x')
  t.equal(throughTokenizer("a'b c", ' '), 'ab', 'a blank ends the text, because the quotes are lost')
  t.equal(throughTokenizer("a'b|c", '|'), 'ab')
  t.equal(throughTokenizer('a\\|b', '|'), 'a|b')
  t.equal(throughTokenizer("it's", '|'), "its'")
})

t.test('a sample queue returns its samples across chunks, and reports when it is empty', async (t) => {
  const queue = new SampleQueue()
  queue.push(Int16Array.of(1, 2, 3))
  queue.push(Int16Array.of())
  queue.push(Int16Array.of(4))
  const into = new Int16Array(2)
  let empty = false
  queue.emptied().then(() => {
    empty = true
  })
  t.strictSame([queue.take(into), ...into], [2, 1, 2])
  t.strictSame([queue.take(into), ...into, queue.length], [2, 3, 4, 0])
  await queue.emptied()
  t.ok(empty)
  t.equal(queue.take(into), 0)
})

t.test(
  'a connection inside the process carries bytes, FIN and errors, and blocks a writer that is too fast',
  async (t) => {
    const [client, server] = memorySocket()
    client.write('hello')
    server.write(Buffer.from('world'))
    const [first] = await Promise.all([
      new Promise((resolve) => server.once('data', resolve)),
      new Promise((resolve) => client.once('data', resolve))
    ])
    t.equal(String(first), 'hello')
    server.pause()
    let written = 0
    while (client.write(Buffer.alloc(65_536)) && written++ < 20);
    t.ok(client.writableLength > 0 || client.writableNeedDrain, 'the window is full')
    server.resume()
    await new Promise((resolve) => client.once('drain', resolve))
    const ended = new Promise((resolve) => server.once('end', resolve))
    client.end()
    await ended
    const [one, other] = memorySocket()
    const closed = new Promise((resolve) => other.resume().once('close', resolve))
    one.destroy()
    await closed
    const [full, unread] = memorySocket()
    full.write(Buffer.alloc(400_000))
    full.on('error', () => {})
    full.destroy()
    t.notOk(unread.destroyed, 'bytes that were written before the end can still be read')
    const idle = memorySocket()[0] as unknown as { setTimeout: (ms: number, onTimeout?: () => void) => void }
    const alive = setInterval(() => {}, 10)
    await new Promise<void>((resolve) => idle.setTimeout(1, resolve))
    idle.setTimeout(0)
    clearInterval(alive)
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
      const [left, right] = memorySocket()
      right.destroy()
      left.once('error', resolve).write('x')
    })
    t.equal(error.code, 'EPIPE')
  }
)
