import t from 'tap'
import { build } from '../helpers/build.js'

/** A method without its types, for arguments that TypeScript would refuse. */
type Adding = (...given: unknown[]) => unknown

const METHODS = ['webhook', 'actionHook', 'statusHook', 'audio'] as const
const handler = () => {}

t.test('audio() refuses an unknown or wrong option, and says what to write', async (t) => {
  const app = await build(t)
  const rows: Array<[object, RegExp]> = [
    [
      { recording: false },
      /options of audio\('\/a'\)\.recording: there is no such option: use one of record/
    ],
    [{ Record: false }, /did you mean "record"/],
    [{ record: 'no' }, /\.record: true or false, not "no"/],
    [{ record: null }, /\.record: true or false, not null/],
    [{ record: 0 }, /\.record: true or false, not 0/],
    [{ output: 'x' }, /\.output: true or false, not "x"/],
    [{ paced: 'yes' }, /\.paced: one of true, false, a number from 0 to \d+, not "yes"/],
    [{ paced: -5 }, /\.paced: .*, not -5/],
    [{ paced: NaN }, /\.paced: .*, not NaN/],
    [{ preHandler: handler }, /\.preHandler: there is no such option: use one of record, output, paced/]
  ]
  for (const [options, message] of rows) {
    const add = app.jambonz.audio.bind(app.jambonz) as Adding
    t.throws(() => add('/a', options, handler), { code: 'FST_JAMBONZ_OPTIONS', message })
  }
  app.jambonz.audio('/a', { record: false, output: false, paced: 400 }, handler)
  app.jambonz.audio('/b', { paced: true }, handler)
})

t.test('each method that adds a route says which argument is missing or wrong', async (t) => {
  const app = await build(t)
  for (const method of METHODS) {
    const add = app.jambonz[method].bind(app.jambonz) as Adding
    const rows: Array<[unknown[], RegExp]> = [
      [[], /the path is undefined, not a string/],
      [[3, handler], /the path is a number, not a string/],
      [[handler], /the path is a function, not a string/],
      [[null, handler], /the path is null, not a string/],
      [['x', handler], /\('x'\): the path must begin with a slash: '\/x'/],
      [['/x', [{ verb: 'hangup' }]], /the handler is an array, not a function: pass a function that returns/],
      [['/x', null], /the handler is null, not a function/],
      [['/x', { schema: {} }], /the handler is an object, not a function/],
      ...(method === 'statusHook'
        ? ([
            [['/x', {}, handler], /statusHook\('\/x'\) has no options: write statusHook\(path\)/],
            [['/x', handler, {}], /has no options/]
          ] as Array<[unknown[], RegExp]>)
        : ([
            [['/x'], /\('\/x'\) has no handler: write/],
            [['/x', {}], /the handler is an object/],
            [['/x', {}, undefined], /has no handler/],
            [['/x', handler, {}], /the handler must be the last argument/],
            [['/x', {}, handler, {}], /too many arguments/],
            [['/x', null, handler], /the options are null/],
            [['/x', [], handler], /the options are an array/],
            [['/x', 'y', handler], /the options are a string/]
          ] as Array<[unknown[], RegExp]>))
    ]
    for (const [given, message] of rows) {
      const error = { code: 'FST_JAMBONZ_OPTIONS', message }
      t.throws(() => add(...given), error, `${method} ${String(message)}`)
    }
    const told = new RegExp(`${method}\\(path`)
    t.throws(() => add(), { message: told })
  }
  await app.ready()
})

t.test('a route that comes after the start is named, with what to do', async (t) => {
  const app = await build(t)
  await app.ready()
  for (const method of METHODS) {
    const add = app.jambonz[method].bind(app.jambonz) as Adding
    t.throws(() => add('/late', handler), {
      code: 'FST_JAMBONZ_OPTIONS',
      message: new RegExp(`${method}\\('/late'\\) came too late: .* Call it before fastify\\.listen\\(\\)`)
    })
  }
})

t.test('calls.update() names a wrong callSid and wrong data, and writes nothing', async (t) => {
  const app = await build(t)
  const update = app.jambonz.calls.update.bind(app.jambonz.calls) as Adding
  const rows: Array<[unknown[], RegExp]> = [
    [[{ ticket: 7 }], /the callSid is an object, not a string: write calls\.update\(callSid, /],
    [['', { ticket: 7 }], /the callSid is empty/],
    [['call-1'], /the data is undefined, not an object/],
    [['call-1', 'vip'], /the data is a string, not an object/],
    [['call-1', ['vip']], /the data is an array, not an object/]
  ]
  for (const [given, message] of rows) {
    await t.rejects(update(...given) as Promise<unknown>, { code: 'FST_JAMBONZ_OPTIONS', message })
  }
  t.strictSame(await app.jambonz.calls.list(), [])
})

t.test('calls.update() may come before the first message about a call', async (t) => {
  const app = await build(t)
  app.jambonz.webhook('/in', () => [])
  t.match(await app.jambonz.calls.update('call-1', { ticket: 7 }), { data: { ticket: 7 } })
  await app.inject({ method: 'POST', url: '/in', payload: { call_sid: 'call-1', from: '1' } })
  t.match(await app.jambonz.calls.get('call-1'), { from: '1', data: { ticket: 7 } })
})

t.test('options that are undefined stand for no options', async (t) => {
  const app = await build(t)
  for (const method of ['webhook', 'actionHook', 'audio'] as const) {
    const add = app.jambonz[method].bind(app.jambonz) as Adding
    add(`/of-${method}`, undefined, handler)
  }
  await app.ready()
})

t.test('webhook() and actionHook() refuse options that they would ignore', async (t) => {
  const app = await build(t)
  const code = 'FST_JAMBONZ_OPTIONS'
  for (const method of ['webhook', 'actionHook'] as const) {
    const add = app.jambonz[method].bind(app.jambonz) as Adding
    const rows: Array<[object, RegExp]> = [
      [{ method: 'PUT' }, /\.method: jambonz may use POST or GET/],
      [{ url: '/other' }, /\.url: the path is the first argument/],
      [{ path: '/other' }, /\.path: the path is the first argument/],
      [{ handler }, /\.handler: the handler is the last argument/],
      [{ websocket: true }, /\.websocket: the route has jambonz' own websocket/],
      [{ prehandler: handler }, /there is no such option: did you mean "preHandler"/],
      [{ bodylimit: 5 }, /did you mean "bodyLimit"/],
      [{ Schema: {} }, /did you mean "schema"/]
    ]
    for (const [options, message] of rows) {
      t.throws(() => add('/x', options, handler), { code, message }, `${method} ${String(message)}`)
    }
    t.throws(() => add('/x', { method: 'PUT' }, handler), {
      message: new RegExp(`options of ${method}\\('/x'\\)\\.method`)
    })
    add(`/with-a-plugin's-option/${method}`, { compress: false, preHandler: undefined }, handler)
  }
  const webhook = app.jambonz.webhook.bind(app.jambonz) as Adding
  const ofEnv: Array<[unknown, RegExp]> = [
    [
      { A: 'string' },
      /options of webhook\('\/x'\)\.env\.A: an object, not "string" \(as in \{ type: 'string'/
    ],
    [
      { A: { description: 'x' } },
      /env\.A\.type: is missing: it has to be one of "string", "number", "boolean"/
    ],
    [{ A: { type: 'text', description: 'x' } }, /env\.A\.type: one of string, number, boolean, not "text"/],
    [{ A: { type: 'string', description: 'x', required: 'yes' } }, /env\.A\.required: true or false/],
    ['A', /env: .*not "A"/],
    [null, /env: .*not null/]
  ]
  for (const [env, message] of ofEnv) t.throws(() => webhook('/x', { env }, handler), { code, message })
  webhook('/x', { env: { A: { type: 'string', description: 'x', obscure: true } } }, handler)
  const hook = app.jambonz.actionHook.bind(app.jambonz) as Adding
  t.throws(() => hook('/y', { env: {} }, handler), {
    code,
    message: /\.env: only webhook\(\) has this option/
  })
  await app.ready()
})
