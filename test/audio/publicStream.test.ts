import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { Duplex, Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import t from 'tap'
import type { AudioStream } from '../../lib/audio/stream/AudioStream.js'
import { samplesOf } from '../../lib/pcm/samples.js'
import { streamPair, until } from '../helpers/streamPair.js'

/** Members that are `protected` in TypeScript, because only the parts of a stream call them on each other. */
const PROTECTED = ['playback', 'output', 'listenerThrew', 'speechOver', 'afterEnd', 'readToEnd']

t.test('README lists all public members of a stream, and no others', async (t) => {
  const readme = await readFile('README.md', 'utf8')
  const section = /### `AudioStream`\n([\s\S]*?)\n###? /.exec(readme)?.[1] ?? ''
  const listed = new Set(
    section
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .flatMap((line) => Array.from(line.matchAll(/`([a-zA-Z]+)/g), ([, name]) => name))
  )
  const { stream } = await streamPair(t)
  const own = new Set<string>(Object.keys(stream).filter((name) => !(name in new Duplex())))
  for (
    let type = Object.getPrototypeOf(stream);
    type !== Duplex.prototype;
    type = Object.getPrototypeOf(type)
  ) {
    for (const name of Object.getOwnPropertyNames(type)) {
      if (name !== 'constructor' && !name.startsWith('_') && !(name in Duplex.prototype)) own.add(name)
    }
  }
  for (const name of PROTECTED) own.delete(name)
  t.ok(own.size > 20)
  for (const name of own) t.ok(listed.has(name), `README lists ${name}`)
  const { set } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(stream), 'listen') ?? {}
  t.equal(set, undefined, 'listen can not be set')
  t.equal(stream.call.callSid, 'call-1')
})

t.test('the log says once if the stream has a method for a message that the application sends', async (t) => {
  const { stream, sent, log } = await streamPair(t)
  const warnings = () => log.filter(({ msg }) => msg.startsWith('stream.send() sent a message'))
  stream.send({ type: 'my-own' })
  t.strictSame(warnings(), [])
  stream.send({ type: 'killAudio' })
  stream.send({ type: 'killAudio' })
  t.match(warnings(), [{ level: 40, msg: /call stream\.clear\(\) in its place/ }])
  t.equal(warnings().length, 1)
  await until(() => sent.length === 3)
})

t.test(
  'wrong arguments of a stream are errors that name the option, its value and the allowed values',
  async (t) => {
    const { stream, sent, log } = await streamPair(t, {
      listen: { bidirectional: { mode: 'streaming', sampleRate: 8000 } }
    })
    const code = 'FST_JAMBONZ_OPTIONS'
    for (const paced of ['yes', NaN, -1, null, Infinity, {}] as never[]) {
      t.throws(
        () => {
          stream.paced = paced
        },
        { code, message: /stream\.paced: one of true, false, a number from 0 to \d+, not .* \(ms by which/ }
      )
    }
    t.equal(stream.paced, false, 'a wrong value changes nothing')
    for (const [paced, read] of [
      [true, 400],
      [250, 250],
      [0, false]
    ] as const) {
      stream.paced = paced
      t.equal(stream.paced, read)
    }
    const wrong: Array<[() => unknown, RegExp]> = [
      [() => stream.utterance({ txt: 'x' } as never), /stream\.utterance\(\)\.txt: .* did you mean "text"/],
      [() => stream.utterance({ id: 5 } as never), /\.id: a string, not 5/],
      [() => stream.utterance('hello' as never), /options of stream\.utterance\(\): an object, not "hello"/],
      [
        () => stream.beginPrivacy('silent' as never),
        /beginPrivacy\(\): the mode: one of silence, skip, not "silent"/
      ],
      [() => stream.beginPrivacy(true as never), /the mode: one of "silence", "skip", not true/],
      [() => stream.send(() => {}), /stream\.send\(\): function is no JSON/],
      [() => stream.send(undefined), /undefined is no JSON/],
      [
        () => stream.send('{"type":"killAudio"}'),
        /a string is no JSON object, and jambonz would ignore it: pass the object itself, without JSON\.stringify/
      ],
      [() => stream.send([1]), /an array is no JSON object/],
      [
        () => stream.send({ type: 'playAudio', data: null }),
        /would crash jambonz' media server: use stream\.play/
      ],
      [() => stream.send({ type: 'playAudio', data: { audioContent: '' } }), /would crash/]
    ]
    for (const [call, message] of wrong) t.throws(call, { code, message })
    t.equal(stream.isPrivate, false)
    t.throws(() => stream.channel('left' as never), {
      code: 'FST_JAMBONZ_AUDIO_CHANNEL',
      message: /"left": it is 'caller' or 'callee'/
    })
    await t.rejects(stream.mark(5 as never), {
      code,
      message: /mark\(\): the name must be a string, not number/
    })
    const files = await streamPair(t, { listen: { bidirectional: { mode: 'file', sampleRate: 8000 } } })
    const play = (options: unknown) => files.stream.play(Buffer.alloc(320), options as never)
    for (const [options, message] of [
      [{ queu: true }, /stream\.play\(\)\.queu: .* did you mean "queue"/],
      [{ queue: 'yes' }, /\.queue: true or false, not "yes"/],
      [{ sampleRate: '8000' }, /\.sampleRate: a number above 0, not "8000" \(Hz of raw L16 audio\)/],
      [{ sampleRate: NaN }, /\.sampleRate: a number above 0, not NaN/],
      [null, /options of stream\.play\(\): an object, not null/]
    ] as const) {
      await t.rejects(play(options), { code, message })
    }
    t.ok(log.some(({ msg }) => msg === 'mark() failed'))
    t.same([...sent, ...files.sent], [], 'jambonz gets nothing')
  }
)

const streaming = { listen: { bidirectional: { mode: 'streaming' as const, sampleRate: 8000 } } }

t.test('text and samples of another kind are refused, since the caller would hear noise', async (t) => {
  for (const [audio, is] of [
    ['UklGRg==', 'a string'],
    [new Float32Array(160), 'a Float32Array'],
    [new Int32Array(160), 'a Int32Array']
  ] as Array<[never, string]>) {
    for (const write of ['write', 'end'] as const) {
      const { stream, sent, log } = await streamPair(t, streaming)
      stream.on('error', () => {})
      stream[write](audio)
      t.equal(stream.destroyed, true)
      t.match(stream.errored, { code: 'FST_JAMBONZ_AUDIO_FILE', message: `it is ${is}; write L16 samples` })
      const { reason } = await stream.done
      t.equal(reason, 'error')
      t.notOk(sent.some(Buffer.isBuffer), 'the caller hears nothing')
      t.ok(log.some(({ msg }) => msg === 'audio stream failed'))
    }
  }
})

t.test('a turn that ends the stream lets the listen go on, and the next turn says what to do', async (t) => {
  const audio = Buffer.alloc(320, 1)
  for (const turn of [
    (stream: AudioStream) => pipeline(Readable.from([audio]), stream),
    async (stream: AudioStream) => Readable.from([audio]).pipe(stream)
  ]) {
    const ignore = (): void => {}
    const { stream, log } = await streamPair(t, streaming)
    turn(stream).catch(ignore)
    await once(stream, 'finish')
    t.equal(stream.writtenMs, 20)
    t.equal(stream.destroyed, false)
    const errors = once(stream, 'error')
    turn(stream).catch(ignore)
    const [error] = await errors
    t.match(error, {
      code: 'ERR_STREAM_WRITE_AFTER_END',
      message: /\{ end: false \}.*\{ preventClose: true \}/
    })
    t.match(await stream.done, { reason: 'error', error })
    t.match(
      log.filter(({ msg }) => msg === 'audio stream failed').map(({ err }) => err),
      [{ message: /preventClose/ }]
    )
  }
})

t.test('a turn of a web stream closes the stream, and the next turn is refused', async (t) => {
  const turn = async () =>
    await Readable.toWeb(Readable.from([Buffer.alloc(320, 1)])).pipeTo(Writable.toWeb(stream))
  const { stream } = await streamPair(t, streaming)
  const first = turn()
  await once(stream, 'finish')
  await t.rejects(turn(), TypeError)
  t.equal(stream.destroyed, false)
  stream.disconnect()
  stream.resume()
  await first
})

t.test('turns that do not end the stream follow each other, and may fail or be aborted', async (t) => {
  const audio = Buffer.alloc(320, 1)
  const { stream } = await streamPair(t, streaming)
  await pipeline(Readable.from([audio]), stream, { end: false })
  const piped = Readable.from([audio])
  piped.pipe(stream, { end: false })
  await once(piped, 'end')
  for (const turn of [audio, audio]) {
    await Readable.toWeb(Readable.from([turn])).pipeTo(Writable.toWeb(stream), { preventClose: true })
  }
  t.equal(stream.writtenMs, 80)

  const fails = () =>
    Readable.from(
      (function* () {
        throw new Error('the speech service fails')
      })()
    )
  const message = 'the speech service fails'
  await t.rejects(pipeline(fails(), stream, { end: false }), { message })
  await t.rejects(
    Readable.toWeb(fails()).pipeTo(Writable.toWeb(stream), { preventClose: true, preventAbort: true }),
    { message }
  )
  const signal = AbortSignal.abort()
  await t.rejects(pipeline(Readable.from([audio]), stream, { end: false, signal }), { name: 'AbortError' })
  t.equal(stream.destroyed, false)
})

t.test(
  'a web stream that is cancelled ends the listen, as an error only for a reason of its own',
  async (t) => {
    for (const [reason, expected] of [
      [undefined, 'disconnected'],
      [new DOMException('enough', 'AbortError'), 'disconnected'],
      [new Error('enough'), 'error']
    ] as const) {
      const { stream } = await streamPair(t, streaming)
      await Readable.toWeb(stream).cancel(reason)
      t.match(await stream.done, { reason: expected })
    }
  }
)

t.test('samples as an Int16Array or as bytes are audio', async (t) => {
  const { stream, sent } = await streamPair(t, streaming)
  const samples = Int16Array.from({ length: 160 }, (_, at) => at + 1)
  stream.write(samples)
  stream.write(new Uint8Array(samples.buffer))
  const utterance = stream.utterance()
  utterance.write(samples)
  utterance.end(samples)
  t.equal(utterance.writtenMs, 40, 'end() writes its audio, too')
  const voiced = () => samplesOf(Buffer.concat(sent.filter(Buffer.isBuffer))).filter((sample) => sample !== 0)
  await until(() => voiced().length >= 4 * samples.length)
  t.same([...voiced()], Array.from({ length: 4 }, () => [...samples]).flat())
})

t.test(
  'a file that is written as samples, and audio behind the end of an utterance, are logged once',
  async (t) => {
    const wav = await readFile('example-app/audio/hello.wav')
    for (const [file, is] of [
      [wav, 'a WAV with its header'],
      [Buffer.from('ID3\x04\x00\x00\x00\x00\x00\x00'.padEnd(400, '\x00'), 'latin1'), 'MP3 with an ID3 tag']
    ] as const) {
      const { stream, log } = await streamPair(t, streaming)
      stream.write(file)
      stream.write(file)
      const warned = log.filter(({ msg }) => msg.includes('hears as noise'))
      t.equal(warned.length, 1)
      t.match(warned[0]?.msg, `the application writes ${is}, which the caller hears as noise`)
    }
    const { stream, log } = await streamPair(t, streaming)
    const utterance = stream.utterance({ id: 'greeting' })
    utterance.end(new Uint8Array(640))
    t.equal(utterance.write(new Uint8Array(640)), false)
    utterance.end(new Uint8Array(640))
    t.equal(utterance.writtenMs, 40)
    const warned = log.filter(({ msg }) =>
      msg.includes('audio was written to utterance greeting behind its end()')
    )
    t.equal(warned.length, 1)
    t.notOk(log.some(({ msg }) => msg.includes('noise')))
  }
)
