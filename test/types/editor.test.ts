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
  ]
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
   })`,
  `app.jambonz.calls.events.on('recordingFailed', ({ code, message }, { id }) => {
     const told: string = code + message + id
     app.log.error(told)
   })`,
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
const whole = applications.map((code) => ({ code, file: edit(code) }))

t.test('a mistake in a verb is a type error that names the mistake', async (t) => {
  for (const { code, text, file } of wrong) t.match(file.errors().join('\n'), text, code)
  for (const { code, file } of fine) t.strictSame(file.errors(), [], code)
})

t.test('applications as users write them need no cast, with the strictest settings', async (t) => {
  for (const { code, file } of whole) t.strictSame(file.errors(), [], code)
})
