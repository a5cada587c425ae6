import t, { type Test } from 'tap'
import { cutAtWord } from '../../lib/audio/playback/Utterance.js'
import { bytesOf } from '../../lib/pcm/samples.js'
import { ModuleCaller } from '../helpers/moduleCaller.js'
import { streamPair, until } from '../helpers/streamPair.js'

t.jobs = 6
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

/**
 * ms by which two measured times may differ, because they come from two clocks, and a busy machine is late
 */
const NEAR = 150
const TEXT = 'one two three four five six seven eight nine ten'

/** Opens a stream in streaming mode, whose caller sends silence in real time. */
async function speaking(t: Test) {
  const pair = await streamPair(t, { listen: { bidirectional: { mode: 'streaming', sampleRate: 8000 } } })
  pair.start()
  const caller = new ModuleCaller(t, pair.socket, { sends: true })
  await until(() => pair.stream.counts.durationMs >= 100)
  return { ...pair, caller }
}

function tone(ms: number, value = 1_000): Buffer {
  return bytesOf(new Int16Array(ms * 8).fill(value))
}

function heardMs(caller: ModuleCaller, value: number): number {
  return caller.heard.filter((sample) => sample === value).length / 8
}

test('the outcome of an utterance heard to its end is playout', async (t) => {
  const { stream, caller } = await speaking(t)
  const utterance = stream.utterance({ id: 'greeting', text: TEXT })
  utterance.write(tone(250))
  utterance.write(tone(170))
  t.equal(utterance.writtenMs, 420)
  utterance.end()
  t.same(await utterance.done, { outcome: 'playout', heardMs: 420, heardText: TEXT })
  t.equal(heardMs(caller, 1_000), 420)
  t.match(stream.output, [{ id: 'greeting', text: TEXT, heardMs: 420, outcome: 'playout' }])
})

test('an utterance without audio ends when the audio before it was heard', async (t) => {
  const { stream } = await speaking(t)
  const before = performance.now()
  const empty = stream.utterance({ text: 'nothing' })
  empty.end()
  t.same(await empty.done, { outcome: 'playout', heardMs: 0, heardText: '' })
  t.ok(performance.now() - before < 900, 'it does not wait for a report of audio')
  const spoken = stream.utterance()
  spoken.write(tone(200))
  spoken.end()
  const last = stream.utterance()
  last.end()
  const order: string[] = []
  await Promise.all([spoken.done.then(() => order.push('spoken')), last.done.then(() => order.push('last'))])
  t.same(order, ['spoken', 'last'])
  t.match(stream.output, [{ id: spoken.id, heardMs: 200 }])
  t.equal(stream.output.length, 1, 'the caller heard one utterance')
})

test('an interrupted utterance has heardMs and heardText', async (t) => {
  const { stream, caller } = await speaking(t)
  const utterance = stream.utterance({ text: TEXT })
  utterance.write(tone(2_000))
  utterance.end()
  await until(() => heardMs(caller, 1_000) >= 700)
  stream.clear()
  const heard = heardMs(caller, 1_000)
  const end = await utterance.done
  t.equal(end.outcome, 'cleared')
  t.ok(Math.abs(end.heardMs - heard) < NEAR, `${end.heardMs} ms, ${heard} heard`)
  t.equal(utterance.heardMs, end.heardMs, 'heardMs does not change later')
  t.ok(TEXT.startsWith(end.heardText ?? 'none'))
  const part = (end.heardText ?? '').length / TEXT.length
  t.ok(part > 0.15 && part <= end.heardMs / 2_000, `${part} of the text`)
})

test('audio written to a cleared utterance is dropped, and the next utterance is heard', async (t) => {
  const { stream, caller } = await speaking(t)
  const first = stream.utterance()
  first.write(tone(500))
  await until(() => heardMs(caller, 1_000) > 0)
  stream.clear()
  t.notOk(first.write(tone(500, 2_000)))
  const second = stream.utterance()
  second.write(tone(200, 3_000))
  second.end()
  t.match(await Promise.all([first.done, second.done]), [
    { outcome: 'cleared' },
    { outcome: 'playout', heardMs: 200 }
  ])
  t.equal(heardMs(caller, 2_000), 0)
  t.equal(heardMs(caller, 3_000), 200)
})

test('a second utterance ends the first and is played after it', async (t) => {
  const { stream, caller } = await speaking(t)
  const first = stream.utterance()
  first.write(tone(300))
  const second = stream.utterance()
  second.write(tone(300, 2_000))
  second.end()
  t.notOk(first.write(tone(300, 3_000)), 'write() returns false on the ended utterance')
  t.match(await first.done, { outcome: 'playout', heardMs: 300 })
  t.equal(second.heardMs < 300, true)
  t.match(await second.done, { outcome: 'playout', heardMs: 300 })
  t.equal(heardMs(caller, 3_000), 0)
  const [one, two] = stream.output
  t.ok(Math.abs((two?.atMs ?? 0) - (one?.atMs ?? 0) - 300) <= 40, `${one?.atMs} and ${two?.atMs} ms`)
})

test('clear() drops waiting utterances, whose heardMs is then 0', async (t) => {
  const { stream } = await speaking(t)
  stream.paced = true
  const began = performance.now()
  stream.write(tone(3_000))
  const waiting = stream.utterance({ text: TEXT })
  waiting.write(tone(100))
  stream.clear()
  const clearedAfter = performance.now() - began
  t.same(await waiting.done, { outcome: 'cleared', heardMs: 0, heardText: '' })
  // On a busy machine, time may pass before clear(), in which the caller hears the audio before the utterance.
  const heardMs = stream.output.reduce((sum, entry) => sum + entry.heardMs, 0)
  t.ok(heardMs <= clearedAfter, `${heardMs} ms of ${clearedAfter} ms`)
  t.notOk(stream.output.some(({ id }) => id === waiting.id))
})

test('the end of the call ends an utterance, and playedMs and heardMs grow no more', async (t) => {
  const { stream, socket, caller } = await speaking(t)
  const utterance = stream.utterance({ text: TEXT })
  utterance.write(tone(3_000))
  await until(() => heardMs(caller, 1_000) > 300)
  socket.close(1000)
  await stream.done
  const { playedMs } = stream
  const end = await utterance.done
  t.match(end, { outcome: 'cleared' })
  t.ok(end.heardMs >= 200 && end.heardMs < 2_000, `${end.heardMs} ms`)
  const since = performance.now()
  await until(() => performance.now() - since > 100 || stream.playedMs !== playedMs)
  t.equal(stream.playedMs, playedMs)
  t.equal(utterance.heardMs, end.heardMs)
  t.match(await stream.utterance().done, { outcome: 'cleared', heardMs: 0 })
})

test('writtenMs is the start of the next utterance, also after clear()', async (t) => {
  const { stream, caller } = await speaking(t)
  stream.paced = true
  stream.write(tone(1_000))
  t.equal(stream.writtenMs, 1_000)
  t.ok(stream.sentMs < 1_000)
  await until(() => heardMs(caller, 1_000) > 100)
  stream.clear()
  const begins = stream.writtenMs
  t.ok(Math.abs(begins - stream.playedMs) < 1, `${begins} and ${stream.playedMs} ms`)
  stream.write(tone(200, 2_000))
  t.equal(Math.round(stream.writtenMs - begins), 200)
  await until(() => stream.playedMs - begins >= 200)
  t.ok(heardMs(caller, 2_000) > 0)
})

test('utterance() on a listen without streaming throws an error that names the property to set', async (t) => {
  const { stream, start } = await streamPair(t, {
    listen: { bidirectional: { mode: 'file', sampleRate: 8000 } }
  })
  start()
  await until(() => stream.metadata !== undefined)
  t.throws(() => stream.utterance(), { code: 'FST_JAMBONZ_AUDIO_MODE', message: /streaming: true/ })
})

test('heardText ends at the end of a word', async (t) => {
  t.equal(cutAtWord('one two three', 0), '')
  t.equal(cutAtWord('one two three', 2), '')
  t.equal(cutAtWord('one two three', 3), 'one')
  t.equal(cutAtWord('one two three', 6), 'one')
  t.equal(cutAtWord('one two three', 8), 'one two')
  t.equal(cutAtWord('one two three', 13), 'one two three')
})
