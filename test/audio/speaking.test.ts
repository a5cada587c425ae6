import t, { type Test } from 'tap'
import { samplesOf, bytesOf } from '../../lib/pcm/samples.js'
import type { Listen } from '../../lib/model/schema.js'
import { ModuleCaller, type ModuleCallerOptions } from '../helpers/moduleCaller.js'
import { streamPair, until } from '../helpers/streamPair.js'

const streaming = (sampleRate = 8000): Partial<Listen> => ({
  bidirectional: { mode: 'streaming', sampleRate }
})

// These tests spend most of their time waiting until audio is heard, so they run side by side.
t.jobs = 6
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

/** Opens a stream in streaming mode. Resolves to it and to the caller who hears what is written. */
async function speaking(t: Test, options: ModuleCallerOptions = {}) {
  const pair = await streamPair(t, { listen: streaming(options.rate) })
  const caller = new ModuleCaller(t, pair.socket, options)
  pair.start()
  await until(() => pair.stream.metadata !== undefined)
  return { ...pair, caller }
}

/**
 * Returns audio whose samples count up from `from`, so that each sample tells its position. No sample is 0 or
 * -1.
 */
function tone(ms: number, from = 1, rate = 8000): Buffer {
  return bytesOf(Int16Array.from({ length: (ms * rate) / 1000 }, (_, i) => from + i))
}

/**
 * Returns audio that resembles quiet speech, with many samples of value -1 (which mod_audio_fork takes for
 * marks).
 */
function quiet(ms: number): Buffer {
  return bytesOf(Int16Array.from({ length: ms * 8 }, (_, i) => [-1, 1, 2, -1, -3][i % 5] ?? 0))
}

/**
 * Returns the samples that are not 0, because mod_audio_fork leaves a sample of 0 where it removes a mark.
 */
function voiced(heard: Int16Array): number[] {
  return [...heard].filter((sample) => sample !== 0)
}

test('the end of an utterance is heard without a flush', async (t) => {
  const { stream, caller } = await speaking(t)
  const audio = tone(250)
  stream.write(audio)
  await until(() => voiced(caller.heard).length >= 2000)
  t.same(voiced(caller.heard), [...samplesOf(audio)])
})

test('an utterance shorter than 160 ms is heard', async (t) => {
  const { stream, caller } = await speaking(t)
  stream.write(tone(30))
  await until(() => voiced(caller.heard).length >= 240)
  t.same(voiced(caller.heard), [...samplesOf(tone(30))])
})

test('chunks with odd numbers of bytes are joined, and a mark between them keeps its place', async (t) => {
  const { stream, caller } = await speaking(t)
  const audio = tone(200)
  stream.write(audio.subarray(0, 801))
  const mark = stream.mark('odd')
  stream.write(audio.subarray(801, 804))
  stream.write(audio.subarray(804))
  t.equal(await mark, 'playout')
  await until(() => voiced(caller.heard).length >= 1600)
  t.same(voiced(caller.heard), [...samplesOf(audio)])
})

test('marks resolve in order, once the audio before them was heard', async (t) => {
  const { stream, caller } = await speaking(t)
  const order: string[] = []
  const marks = ['a', 'b', 'c', 'd'].map(async (name, i) => {
    stream.write(tone(100, 1 + i * 800))
    const outcome = await stream.mark(name)
    order.push(`${name} ${outcome} ${caller.heard.length >= (i + 1) * 800}`)
  })
  await Promise.all(marks)
  t.same(order, ['a playout true', 'b playout true', 'c playout true', 'd playout true'])
  t.same(voiced(caller.heard), [...samplesOf(tone(400))])
  t.equal(stream.playedMs, 400)
})

for (const isPrivate of [false, true]) {
  const audio = isPrivate ? 'private audio' : 'audio'
  test(`a sample of value -1 in ${audio} before the first mark is not taken for a mark`, async (t) => {
    const { stream, live, caller } = await speaking(t)
    if (isPrivate) live.beginPrivacy('silence')
    stream.write(quiet(300))
    live.endPrivacy()
    const first = stream.mark('first').then(() => caller.heard.length)
    stream.write(quiet(200))
    const second = stream.mark('second').then(() => caller.heard.length)
    t.ok((await first) >= 2400 - 160, 'the mark resolves after 300 ms were heard')
    t.ok((await second) >= 4000, 'the mark resolves after 500 ms were heard')
  })
}

test('without marks, a sample of value -1 arrives unchanged', async (t) => {
  const { stream, caller } = await speaking(t)
  stream.write(quiet(200))
  await until(() => voiced(caller.heard).length >= 1600)
  t.same(voiced(caller.heard), [...samplesOf(quiet(200))])
})

test('if 40 marks are set at once, at most 30 of them wait in jambonz at a time, and all 40 resolve', async (t) => {
  const { stream, sent } = await speaking(t)
  stream.write(tone(100))
  const names = Array.from({ length: 40 }, (_, i) => `m${i}`)
  const marks = names.map((name) => stream.mark(name))
  await until(() => sent.filter((item) => !Buffer.isBuffer(item)).length >= 30)
  t.equal(sent.filter((item) => !Buffer.isBuffer(item)).length, 30)
  t.same(new Set(await Promise.all(marks)), new Set(['playout']))
})

test('clear() stops playout, drops pending audio and resolves marks as cleared', async (t) => {
  const { stream, caller } = await speaking(t)
  stream.paced = true
  stream.write(tone(2000))
  const mark = stream.mark('end')
  await until(() => caller.heard.length > 800)
  stream.clear()
  const heard = stream.playedMs
  const length = caller.heard.length
  t.equal(await mark, 'cleared')
  t.equal(stream.writableLength, 0)
  t.ok(Math.abs(heard - length / 8) <= 400, `${heard} ms played, ${length / 8} ms heard`)
  stream.write(tone(200, 30_000))
  await until(() => caller.heard.includes(31_599))
  t.ok(
    voiced(caller.heard).filter((sample) => sample < 30_000).length < 8_000,
    'no more of the cleared audio is heard'
  )
})

test('marks that clear() removed do not shift later marks', async (t) => {
  const { stream, caller } = await speaking(t)
  const events: string[] = []
  stream.on('mark', ({ name, event }) => events.push(`${name} ${event}`))
  for (let i = 0; i < 3; i++) {
    stream.write(tone(1000))
    stream.mark(`old${i}`)
  }
  stream.write(tone(1000))
  await until(() => caller.heard.length > 400)
  stream.clear()
  await until(() => events.length === 3)
  const before = caller.heard.length
  const places: number[] = []
  for (let i = 0; i < 3; i++) {
    stream.write(tone(160, 10_000 + i * 1280))
    stream
      .mark(`new${i}`)
      .then(() => places.push(caller.heard.lastIndexOf(10_000 + (i + 1) * 1280 - 1) > before ? i : -1))
  }
  await until(() => events.length === 6)
  t.same(events, [
    'old0 cleared',
    'old1 cleared',
    'old2 cleared',
    'new0 playout',
    'new1 playout',
    'new2 playout'
  ])
  t.same(places, [0, 1, 2])
})

test('a mark that is set after clear(), without new audio, is reported', async (t) => {
  const { stream, caller } = await speaking(t)
  stream.write(tone(1000))
  const old = stream.mark('old')
  stream.write(tone(1000))
  await until(() => caller.heard.length > 400)
  stream.clear()
  t.equal(await old, 'cleared')
  t.equal(await stream.mark('new'), 'playout')
})

test('after clear(), no more of the cleared audio is heard before the next audio', async (t) => {
  const { stream, caller } = await speaking(t)
  stream.write(tone(300))
  // This audio is too short to be played, so it stays in jambonz' prebuffer (up to 639 samples), which
  // killAudio does not clear.
  stream.write(tone(79, 5_000))
  await until(() => caller.heard.length > 400)
  stream.clear()
  stream.write(tone(300, 10_000))
  await until(() => caller.heard.includes(10_999))
  t.notOk(caller.heard.some((sample) => sample >= 5_000 && sample < 6_000))
  const first = caller.heard.indexOf(10_000)
  t.same([...caller.heard.slice(first, first + 1000)], [...samplesOf(tone(125, 10_000))])
})

test('clearMarks() resolves all marks, does not shift later marks, and does not stop the audio', async (t) => {
  const { stream, caller } = await speaking(t)
  stream.write(tone(300))
  const old = stream.mark('old')
  stream.clearMarks()
  t.equal(await old, 'cleared')
  stream.write(tone(200, 2401))
  t.equal(await stream.mark('new'), 'playout')
  t.same(voiced(caller.heard), [...samplesOf(tone(500))])
  t.notOk(caller.commands.includes('clearMarks'))
})

test('if jambonz resamples, marks resolve in order and not before the audio ahead of them is heard', async (t) => {
  const { stream, caller } = await speaking(t, { rate: 16_000, callRate: 8000 })
  const heard: number[] = []
  const marks = [0, 1, 2].map(async (i) => {
    stream.write(tone(200, 1 + i * 3200, 16_000))
    t.equal(await stream.mark(`m${i}`), 'playout')
    heard.push(caller.heard.length / 8)
  })
  await Promise.all(marks)
  t.ok(
    heard.every((ms, i) => ms >= (i + 1) * 200 - 80),
    `heard ${heard.join(', ')} ms`
  )
  t.ok(
    heard.every((ms, i) => ms <= (i + 1) * 200 + 1500),
    `heard ${heard.join(', ')} ms`
  )
})

test('on a wideband call of unknown rate, marks that jambonz reports too early or never resolve by the clock', async (t) => {
  const { stream, caller, socket, log } = await speaking(t, { rate: 8000, callRate: 16_000 })
  const timer = setInterval(() => socket.send(Buffer.alloc(320)), 20)
  t.teardown(() => clearInterval(timer))
  await until(() => stream.counts.durationMs >= 100)
  const heard: number[] = []
  const marks = [0, 1, 2, 3].map(async (i) => {
    stream.write(quiet(400))
    t.equal(await stream.mark(`m${i}`), 'playout')
    heard.push(caller.heard.length / 16)
  })
  await Promise.all(marks)
  t.ok(
    heard.every((ms, i) => ms >= (i + 1) * 400 - 350),
    `heard ${heard.join(', ')} ms`
  )
  t.ok(log.filter(({ msg }) => /told by the clock/.test(msg)).length <= 1)
})

test('marks that jambonz never reports resolve by the clock', async (t) => {
  const { stream, log } = await streamPair(t, { listen: streaming() }).then((pair) => {
    pair.start()
    return pair
  })
  await until(() => stream.metadata !== undefined)
  stream.write(tone(160))
  t.equal(await stream.mark('lost'), 'playout')
  t.match(log, [{ msg: /did not report the mark "lost"/ }])
})

test('paced audio is sent at most 400 ms before it is played', async (t) => {
  const { stream, sent, caller } = await speaking(t)
  stream.paced = true
  t.equal(stream.paced, 400)
  stream.write(tone(1500))
  await until(() => caller.heard.length >= 2400)
  const bytes = sent.reduce((sum, item) => (Buffer.isBuffer(item) ? sum + item.length : sum), 0)
  t.ok(
    bytes / 16 <= caller.heard.length / 8 + 440,
    `${bytes / 16} ms sent, ${caller.heard.length / 8} ms heard`
  )
  await until(() => voiced(caller.heard).length >= 12_000)
  t.same(voiced(caller.heard), [...samplesOf(tone(1500))], 'without a pause')
})

test('at most a minute of audio waits in jambonz, even if much more is written', async (t) => {
  const { stream, sent } = await speaking(t)
  let written = false
  stream.write(Buffer.alloc(16_000 * 90, 1), () => {
    written = true
  })
  const bytes = () => sent.reduce((sum, item) => (Buffer.isBuffer(item) ? sum + item.length : sum), 0)
  await until(() => bytes() >= 16_000 * 60)
  t.notOk(written)
  t.ok(bytes() <= 16_000 * 61)
  t.ok(Math.round(stream.sentMs / 1000) === 60)
})

test("mark names that would break the module's JSON are returned unchanged", async (t) => {
  const { stream, caller } = await speaking(t)
  const events: string[] = []
  stream.on('mark', ({ name }) => events.push(name))
  t.equal(await stream.mark('say "hi" \\ it\'s me'), 'playout')
  t.same(events, ['say "hi" \\ it\'s me'])
  t.notMatch(caller.marks[0]?.name, /["'\\]/)
})

test('the end of the call settles pending promises, and a later write() does not throw', async (t) => {
  const { stream, socket } = await speaking(t)
  stream.write(tone(1000))
  const mark = stream.mark('never')
  socket.close(1000)
  t.equal(await mark, 'cleared')
  t.equal(await stream.mark('later'), 'cleared')
  await stream.done
  await until(() => stream.destroyed)
  t.equal(stream.write(tone(10)), false)
  stream.clear()
})

test('a write() after the end of the call asks the writer to wait, as the streams of Node do', async (t) => {
  const { stream, socket } = await speaking(t)
  stream.write(tone(20))
  t.equal(stream.writableNeedDrain, false)
  socket.close(1000)
  await stream.done
  t.equal(stream.write(tone(20)), false)
  t.equal(stream.writableNeedDrain, true)
  await until(() => !stream.writableNeedDrain)
})

test('end() flushes the audio and leaves the listen open', async (t) => {
  const { stream, caller, socket } = await speaking(t)
  await new Promise<void>((resolve) => stream.end(tone(130), resolve))
  await until(() => voiced(caller.heard).length >= 1040)
  t.equal(socket.readyState, socket.OPEN)
})

test('write() on a listen without streaming throws an error that names the property to set', async (t) => {
  const { stream, start, socket } = await streamPair(t, {
    listen: { bidirectional: { mode: 'file', sampleRate: 8000 } }
  })
  start()
  await until(() => stream.metadata !== undefined)
  await t.rejects(stream.mark('m'), {
    code: 'FST_JAMBONZ_AUDIO_MODE',
    message: /bidirectionalAudio: \{ enabled: true, streaming: true, sampleRate: 8000 \}/
  })
  const error = await new Promise<Error>((resolve) => {
    stream.on('error', resolve).write(tone(20))
  })
  t.match(error, { code: 'FST_JAMBONZ_AUDIO_MODE', message: /write\(\).*streaming: true/ })
  await new Promise((resolve) => socket.once('close', resolve))
  t.match(await stream.done, { reason: 'error', closeCode: 1011 })
})
