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
  ["[{ verb: 'say', txt: 'Hello' }]", /txt/]
]
const right = [
  "[{ verb: 'say', text: 'x' }]",
  "({ verb: 'hangup' })",
  'undefined',
  '[]',
  "[{ say: { text: 'x' } }]"
]
const returning = (code: string): EditedFile => edit(`app.jambonz.webhook('/a', async () => ${code})`)
const wrong = mistakes.map(([code, text]) => ({ code, text, file: returning(code) }))
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
   })`
]
const whole = applications.map((code) => ({ code, file: edit(code) }))

t.test('a mistake in a verb is a type error that names the mistake', async (t) => {
  for (const { code, text, file } of wrong) t.match(file.errors().join('\n'), text, code)
  for (const { code, file } of fine) t.strictSame(file.errors(), [], code)
})

t.test('applications as users write them need no cast, with the strictest settings', async (t) => {
  for (const { code, file } of whole) t.strictSame(file.errors(), [], code)
})
