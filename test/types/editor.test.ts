import t from 'tap'
import ts from 'typescript'
import { Editor, type EditedFile } from '../helpers/Editor.js'

const HEAD = `
import Fastify from 'fastify'
import jambonzListen from '../../lib/index.js'
const app = Fastify()
await app.register(jambonzListen, { /*options*/recording: { /*recording*/ }, limits: { /*limits*/ } })
`

const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile('tsconfig.json', (path) => ts.sys.readFile(path)).config,
  ts.sys,
  '.'
)
// The strictest setting of an application; it applies to every file of this test.
const strictest = { exactOptionalPropertyTypes: true }
const editor = new Editor('test/types', {
  ...options,
  ...strictest,
  rootDir: process.cwd(),
  incremental: false,
  tsBuildInfoFile: undefined
})
const edit = (code: string): EditedFile => editor.open(HEAD + code)

/**
 * Maximum number of names that an editor should offer. If it does not know the place, it offers all globals,
 * which are more.
 */
const MOST = 60

const completed = edit(`
app.jambonz.webhook('/a', async (request) => [
  { verb: '/*verb*/' },
  { verb: 'listen', /*listen*/ },
  { verb: 'listen', mixType: '/*mixType*/' },
  { verb: 'dial', target: [], listen: { /*nested*/ } },
  { verb: 'config', listen: { enable: true, /*config*/ } },
  { verb: 'listen', bidirectionalAudio: { /*bidirectional*/ } }
])
app.jambonz.webhook('/b', () => { return [{ verb: 'say', /*say*/ }] })
app.jambonz.webhook('/c', { schema: {} }, async (request) => { request.call./*call*/; return [{ verb: 'play', /*play*/ }] })
app.jambonz.actionHook('/d', async (request) => { request.listen./*listenField*/; request.listen.recording?./*recordingField*/; return [{ verb: 'gather', /*gather*/ }] })
app.jambonz.audio('/e', (stream) => { stream./*stream*/ })
app.jambonz.calls.events.on('/*event*/', () => {})
app.jambonz.calls.events./*asyncEvent*/on('recording', async ({ location }) => { app.log.info(location) })
app.jambonz.audio('/f', (stream) => {
  stream./*asyncDtmf*/on('dtmf', async ({ digit }) => { app.log.info(digit) })
  stream./*asyncMessage*/once('message', async (message) => { app.log.info(message) })
})
`)

t.test('an editor completes the names of the public API', async (t) => {
  const places: Array<[mark: string, names: string[]]> = [
    ['verb', ['say', 'listen', 'hangup']],
    ['listen', ['actionHook', 'maxLength', 'finishOnKey']],
    ['mixType', ['mono', 'stereo', 'mixed']],
    ['nested', ['mixType', 'maxLength']],
    ['config', ['mixType', 'sampleRate']],
    ['bidirectional', ['enabled', 'streaming', 'sampleRate']],
    ['say', ['text', 'loop']],
    ['play', ['url']],
    ['gather', ['input', 'actionHook']],
    ['call', ['callSid', 'from', 'data']],
    ['listenField', ['endReason', 'audio', 'recording']],
    ['recordingField', ['location', 'durationMs', 'sha256', 'levels', 'pauses']],
    ['stream', ['write', 'play', 'mark', 'disconnect']],
    ['event', ['stream', 'listenEnded', 'recording']],
    ['options', ['webhookSecret', 'auth', 'strict']],
    ['recording', ['directory', 'fileName']],
    ['limits', ['maxStreams', 'maxPayload']]
  ]
  for (const [mark, names] of places) {
    t.test(`an editor offers ${names.join(', ')} at ${mark}`, async (t) => {
      const offered = completed.completions(mark)
      if (!['stream', 'call', 'listenField', 'recordingField'].includes(mark)) {
        t.ok(offered.length < MOST, `${offered.length} names, so not all globals`)
      }
      for (const name of names) t.ok(offered.includes(name), name)
    })
  }
  t.test('an editor does not offer internal names', async (t) => {
    const inside = {
      listenField: ['hookedAt', 'offers', 'refused', 'saved', 'trace'],
      call: ['application'],
      stream: ['addSink', 'keepLive', 'catchUp', 'holdFor', 'nudge', 'stop', 'stopNow']
    }
    for (const [mark, names] of Object.entries(inside)) {
      const offered = completed.completions(mark)
      for (const name of names) t.notOk(offered.includes(name), `${mark}.${name}`)
    }
  })
})

t.test(
  'the types take an async listener, since its rejection is caught, so no-misused-promises of typescript-eslint does too',
  async (t) => {
    t.match(completed.hover('asyncEvent'), /listener: AsyncListener</)
    t.match(completed.hover('asyncDtmf'), /listener: .*=> unknown/)
    t.match(completed.hover('asyncMessage'), /listener: .*=> unknown/)
  }
)

const mistakes: Array<[code: string, text: RegExp]> = [
  ["[{ verb: 'listen', maxlength: 5 }]", /maxlength/],
  ["[{ verb: 'sing' }]", /sing/],
  ["[{ verb: 'listen', maxLength: '10' }]", /string.*number/],
  ["[{ verb: 'say', txt: 'Hello' }]", /txt/],
  ["[{ verb: 'lisen' }]", /'"jambonz has no verb lisen"'\.$/],
  ["({ verb: 'lisen', text: 'Hello' })", /'"jambonz has no verb lisen"'\.$/],
  ["[{ verb: 'say', text: 'Hello' }, { lisen: {} }]", /'"jambonz has no verb lisen"'\.$/],
  ["[{ verb: 'listen', bidirectionalAudio: true }]", /'"listen\.bidirectionalAudio must be an object"'\.$/],
  ["[{ verb: 'listen', bidirectionalAudio: { samplerate: 8000 } }]", /has no property samplerate"'\.$/],
  ["[{ verb: 'say', text: 'Hello' }, helper()]", /'"a verb is a promise: await it"'\.$/],
  ["[[{ verb: 'say', text: 'Hello' }]]", /'"the array of verbs contains an array: spread it/],
  ["{ const verbs = [{ verb: 'hangup' }]; return verbs }", /const verbs: Verb\[\] = /],
  ["[{ verb: 'hangup' }, { verb: 'pause', length: '1' }]", /'string' is not assignable to type 'number'\.$/],
  ["[{ verb: 'hangup' }, { verb: 'pause' }]", /Property 'length' is missing/],
  ["'Hello'", /'"a handler returns an array of verbs, /]
]
const otherMistakes: Array<[code: string, text: RegExp]> = [
  ["app.jambonz.calls.redirect('sid', [{ verb: 'lisen' }])", /Did you mean '"listen"'/],
  ["app.jambonz.audio('/a', (stream) => { stream.on('dmtf', () => {}) })", /"dmtf"/],
  ["app.jambonz.audio('/a', (stream) => { stream.once('marks', () => {}) })", /"marks"/],
  [
    "app.jambonz.webhook<{ Params: { a: string } }>('/a', ({ params }) => { params.b })",
    /'b' does not exist/
  ],
  [
    "app.jambonz.calls.create({ from: '1', to: { type: 'phone', number: '2' }, callHook: '/a' })",
    /jambonz calls it call_hook/
  ],
  ["app.jambonz.audio('/a', (stream) => { stream.write('Hello') })", /'string' is not assignable to .*L16/],
  ["app.jambonz.audio('/a', (stream) => { stream.write({ text: 'Hello' }) })", /L16/],
  ["app.jambonz.audio('/a', (stream) => { stream.write(new Float32Array(160)) })", /L16/],
  ["app.jambonz.audio('/a', (stream) => { stream.end('Hello') })", /L16/]
]
const right = [
  "[{ verb: 'say', text: 'x' }]",
  "({ verb: 'hangup' })",
  'undefined',
  '[]',
  "[{ say: { text: 'x' } }]"
]
const HELPER = "declare function helper(): Promise<{ verb: 'hangup' }>\n"
const returning = (code: string): EditedFile =>
  edit(`${HELPER}app.jambonz.webhook('/a', async () => ${code})`)
const wrong = [
  ...mistakes.map(([code, text]) => ({ code, text, file: returning(code) })),
  ...otherMistakes.map(([code, text]) => ({ code, text, file: edit(code) }))
]
const fine = right.map((code) => ({ code, file: returning(code) }))
const applications = [
  `import { Redis } from 'ioredis'
   import { redisStore } from '../../lib/store/redis.js'
   await app.register(jambonzListen, { store: redisStore(new Redis()), webhookSecret: process.env.SECRET })`,
  `app.jambonz.webhook('/choice', async ({ body }) => {
     const said: string | undefined = body.speech?.alternatives?.[0]?.transcript
     const keys: string | undefined = body.digits
     if (body.dial_call_status === 'busy' || body.reason === 'timeout') return []
     return [{ verb: 'say', text: said ?? keys ?? '' }]
   })
   app.jambonz.webhook('/hold', async ({ body }) => {
     const place: number | undefined = body.queue_position
     const waited: number | undefined = body.queue_time
     return [{ verb: 'say', text: \`\${place} of \${body.queue_size} after \${waited} s\` }]
   })
   app.jambonz.webhook('/refer', async ({ body }) => [
     { verb: 'sip:refer', referTo: body.refer_details?.refer_to_user ?? '', actionHook: '/referred' }
   ])
   app.jambonz.webhook<{ Body: { call_sid: string; members: number } }>('/members', async ({ body }) => [
     { verb: 'say', text: String(body.members) }
   ])`,
  `app.jambonz.calls.events.on('recordingFailed', ({ code, message }, { id }) => {
     const told: string = code + message + id
     app.log.error(told)
   })
   const saved = async (): Promise<void> => {}
   const seen: string[] = []
   app.jambonz.calls.events.on('recording', saved).once('recording', ({ location }) => seen.push(location)).off('recording', saved)
   app.jambonz.calls.events.emit('callEnded', { callSid: 'a', data: {}, listens: [], createdAt: '', updatedAt: '' })`,
  `import type { JambonzListenOptions, Sink, Utterance } from '../../lib/index.js'
   const sink: Sink = async (stream, { name }) => { app.log.info(name + stream.callSid); return process.stdout }
   const options: JambonzListenOptions = { webhookSecret: process.env.SECRET, recording: { directory: 'a', sink } }
   await app.register(jambonzListen, options)
   app.jambonz.audio('/talk', async (stream) => {
     const spoken: Utterance[] = []
     stream.on('dtmf', ({ digit }) => { if (digit === '0') stream.clear() }).once('end', () => {})
     spoken.push(stream.utterance({ text: 'Hello' }))
   })`,
  `app.jambonz.webhook<{ Params: { tenant: string } }>('/:tenant', async ({ params, body, call }) => [
     { verb: 'say', text: params.tenant + body.call_sid + call.callSid }
   ])
   app.jambonz.actionHook<{ Querystring: { attempt: string } }>('/done', async ({ query, listen }) => {
     if (listen.digits === query.attempt) return { verb: 'hangup' }
   })
   app.jambonz.webhook<{ Params: { id: string } }>('/x', { preHandler: async () => {} }, ({ params }) => { app.log.info(params.id) })
   app.jambonz.statusHook<{ Querystring: { a: string } }>('/status', ({ query, call }) => { app.log.info(query.a + call.callSid) })
   const helper = async () => [{ verb: 'hangup' as const }]
   app.jambonz.webhook('/y', async (_request, reply) => reply.send(await helper()))
   app.jambonz.webhook('/z', async () => [{ verb: 'say', text: 'x' }, ...await helper()])
   app.jambonz.webhook('/w', () => helper())
   await app.jambonz.calls.redirect('sid', { verb: 'hangup' })
   await app.jambonz.calls.redirect('sid', await helper())`
]
/** Applications in which every optional value is a variable that may be undefined, and that use the stream as Node's streams. */
const unsure = [
  `import { Redis } from 'ioredis'
   import { memoryStore } from '../../lib/index.js'
   import { redisStore } from '../../lib/store/redis.js'
   declare const some: { text?: string; count?: number; yes?: boolean }
   const { text, count, yes } = some
   await app.register(jambonzListen, {
     webhookSecret: text, secret: text, publicUrl: text, callTtl: count, strict: yes,
     auth: text ? { username: 'a', password: text } : undefined,
     store: text ? redisStore(new Redis(text), { prefix: text, timeout: count }) : memoryStore({ maxCalls: count }),
     recording: { directory: text, fillGaps: yes, retention: { maxAge: count } },
     limits: { maxStreams: count },
     api: text ? { baseUrl: text, accountSid: text, token: text, timeout: count } : undefined,
     fallback: text ? [{ verb: 'say', text }] : undefined
   })
   app.jambonz.webhook('/v', { env: { NAME: { type: 'string', description: '', default: text } } }, async ({ call }) => [
     { verb: 'config', listen: { enable: yes, sampleRate: yes ? 8000 : undefined }, recognizer: undefined },
     { verb: 'gather', actionHook: '/g', say: { text: 'x', language: text }, timeout: count },
     {
       verb: 'dial', callerId: call.from, target: [{ type: 'phone', number: '+1', trunk: text }],
       listen: { metadata: yes ? { a: 1 } : undefined, maxLength: count, actionHook: { url: '/x', method: yes ? 'GET' : undefined } }
     },
     { say: { text: 'x', loop: count } },
     { verb: 'listen', id: text, bidirectionalAudio: { enabled: yes, streaming: yes }, wsAuth: undefined, transcribe: undefined }
   ])
   app.jambonz.audio('/a', { record: yes, output: yes, paced: count }, async (stream) => {
     stream.utterance({ id: text, text })
     await stream.play(Buffer.alloc(2), { id: text, queue: yes, sampleRate: count })
   })
   await app.jambonz.calls.redirect('sid', [{ verb: 'say', text: 'x', id: text }], { queue: yes })
   await app.jambonz.calls.create({ from: '1', to: { type: 'phone', number: '2' }, call_hook: text, timeout: count })
   await app.jambonz.drain(count, { handover: yes })`,
  `import { simulateCall } from '../../lib/simulator/index.js'
   import { bridgeTwilio } from '../../lib/twilio/index.js'
   import { s3Sink } from '../../lib/recording/s3.js'
   import { S3Client } from '@aws-sdk/client-s3'
   declare const some: { text?: string; count?: number; yes?: boolean }
   const { text, count, yes } = some
   await simulateCall({
     url: text, hook: text, press: text, webhookSecret: text, hangUpAfterMs: count, speech: undefined,
     bLeg: { answer: yes, answerAfterMs: count }, faults: { noMetadata: yes }, transcripts: [{ text: 'x', atMs: count }]
   })
   s3Sink({ client: new S3Client({}), bucket: 'b', prefix: text, partSize: count, key: undefined })
   app.jambonz.audio('/a', (stream) => bridgeTwilio(stream, 'wss://b', { authToken: text, customParameters: undefined }))`,
  `import { Duplex, Readable, type Writable } from 'node:stream'
   import { pipeline } from 'node:stream/promises'
   import type { AudioStream } from '../../lib/index.js'
   app.jambonz.audio('/a', async (stream: AudioStream) => {
     const [duplex, writable, readable, both]: [Duplex, Writable, NodeJS.ReadableStream, NodeJS.ReadWriteStream] =
       [stream, stream, stream, stream]
     const web = Duplex.toWeb(stream)
     const pcm: Buffer | null = stream.read()
     const audio: Uint8Array | Int16Array = pcm ?? new Int16Array(160)
     stream.write(audio)
     stream.write(audio, (err) => { app.log.info(err?.message) })
     stream.write(new Uint8Array(2), undefined, () => {})
     Readable.from([Buffer.alloc(2)]).pipe(stream).write(Buffer.alloc(2))
     await pipeline(Readable.from([Buffer.alloc(2)]), stream)
     await pipeline(stream, stream)
     stream.end(audio, () => {}).end()
     return { duplex, writable, readable, both, web }
   })`
].map((code) => ({ code, file: edit(code) }))
const whole = applications.map((code) => ({ code, file: edit(code) }))

t.test('a mistake in a verb is a type error that names the mistake', async (t) => {
  for (const { code, text, file } of wrong) t.match(file.errors().join('\n'), text, code)
  for (const { code, file } of fine) t.strictSame(file.errors(), [], code)
})

t.test('applications as users write them need no cast, with the strictest settings', async (t) => {
  for (const { code, file } of whole) t.strictSame(file.errors(), [], code)
})

t.test('values that may be undefined need no cast, with exactOptionalPropertyTypes', async (t) => {
  for (const { code, file } of unsure) t.strictSame(file.errors(), [], code)
})
