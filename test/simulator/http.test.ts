import t from 'tap'
import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { simulateCall } from '../../lib/simulator/index.js'
import { snakeCase, snakeCaseKeys } from '../../lib/simulator/application/snakeCase.js'
import { SPECS } from '../../lib/simulator/verbs/specs.js'
import { Backoff, RetryPolicy } from '../../lib/simulator/application/retries.js'
import { application } from './peers.js'

const hangup = [{ verb: 'answer' }, { verb: 'hangup' }]

t.test("the webhook's payload has the call in snake_case, unchanged SIP headers, and env_vars", async (t) => {
  const app = await application(t, { '/in': hangup })
  await simulateCall({
    url: app.url('/in'),
    callSid: 'call-1',
    accountSid: 'acc-1',
    applicationSid: 'app-1',
    from: '15551',
    to: '15552',
    callerName: 'Ann',
    env: { mainLanguage: 'de' }
  })
  const [posted] = app.at('/in')
  t.equal(posted!.method, 'POST')
  t.match(posted!.json, {
    call_sid: 'call-1',
    account_sid: 'acc-1',
    application_sid: 'app-1',
    direction: 'inbound',
    from: '15551',
    to: '15552',
    caller_name: 'Ann',
    call_status: 'trying',
    sip_status: 100,
    sip_reason: 'Trying',
    call_id: String,
    sbc_callid: String,
    trace_id: /^[0-9a-f]{32}$/,
    fs_sip_address: String,
    originating_sip_ip: String,
    originating_sip_trunk_name: String,
    service_provider_sid: String,
    sip: { headers: { 'call-id': String, 'X-Account-Sid': 'acc-1', 'from': /"Ann"/ }, method: 'INVITE' },
    defaults: { synthesizer: { vendor: String }, recognizer: { language: String } },
    env_vars: { mainLanguage: 'de' }
  })
  t.equal(posted!.headers['content-type'], 'application/json')
  t.match(posted!.headers.b3, new RegExp(`^${String(posted!.json.trace_id)}-[0-9a-f]{16}-1$`))
})

t.test(
  'the signature of a POST covers the sent bytes; the signature of a GET covers a payload that is not sent',
  async (t) => {
    const app = await application(t, {
      '/in': [{ verb: 'listen', url: '/nobody', actionHook: { url: '/done?x=1', method: 'GET' } }],
      '/done': hangup,
      '/status': {}
    })
    const story = await simulateCall({ url: app.url('/in'), webhookSecret: 'wh_1', statusHook: '/status' })
    const verified = app.posted.map(({ headers, body }) => {
      const [, at, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers['jambonz-signature'] as string)!
      return createHmac('sha256', 'wh_1').update(`${at}.${body}`).digest('hex') === signature
    })
    t.strictSame(app.posted.map(({ method, url }, i) => `${method} ${url} ${verified[i]}`).sort(), [
      'GET /done?x=1 false',
      'POST /in true',
      'POST /status true',
      'POST /status true',
      'POST /status true'
    ])
    t.strictSame(
      [app.at('/done')[0]!.body, app.at('/done')[0]!.headers['content-type']],
      ['', undefined],
      'a GET hook is sent without a payload'
    )
    t.equal(story.requests.find(({ method }) => method === 'GET')!.payload, undefined)
    await simulateCall({ url: app.url('/in') })
    t.ok(
      app.posted.every(({ headers }) => headers['jambonz-signature'] !== undefined),
      'requests are signed even if the simulator is given no secret'
    )
  }
)

t.test('a webhook configured as GET gets no payload', async (t) => {
  const app = await application(t, { '/in': hangup })
  await simulateCall({ url: app.url('/in?tenant=1'), webhookMethod: 'GET' })
  t.strictSame([app.posted[0]!.method, app.posted[0]!.url, app.posted[0]!.body], ['GET', '/in?tenant=1', ''])
})

t.test(
  'the query of an absolute hook is encoded anew, and a repeated parameter loses its first value',
  async (t) => {
    const app = await application(t, { '/hook': [] })
    const hook = app.url('/hook?listen=a_b-1.c&u=http://x/?y&q=1&q=2&flag&n=a+b')
    const origin = await application(t, { '/in': [{ verb: 'gather', timeout: 1, actionHook: hook }] })
    await simulateCall({ url: origin.url('/in') })
    t.equal(app.posted[0]!.url, '/hook?listen=a_b-1.c&u=http%3A%2F%2Fx%2F%3Fy&q=2&flag=&n=a%20b')
  }
)

t.test("every request has the webhook's Basic credentials, even a request to another host", async (t) => {
  const other = await application(t, { '/elsewhere': [] })
  const app = await application(t, {
    '/in': [{ verb: 'listen', url: '/nobody', actionHook: other.url('/elsewhere') }, { verb: 'hangup' }]
  })
  await simulateCall({ url: app.url('/in'), webhookAuth: { username: 'web', password: 'hook' } })
  const basic = `Basic ${Buffer.from('web:hook').toString('base64')}`
  t.strictSame(
    [app.at('/in')[0]!.headers.authorization, other.posted[0]!.headers.authorization],
    [basic, basic]
  )
})

t.test(
  'status events are trying, in-progress and completed; an outbound call begins with ringing',
  async (t) => {
    const app = await application(t, {
      '/in': [{ verb: 'answer' }, { verb: 'pause', length: 3 }],
      '/status': {}
    })
    const statuses = () => app.at('/status').map(({ json }) => json.call_status)
    await simulateCall({ url: app.url('/in'), statusHook: '/status' })
    t.strictSame(statuses(), ['trying', 'in-progress', 'completed'])
    t.match(app.at('/status')[2]!.json, { duration: 3, call_termination_by: 'jambonz', sip_status: 200 })
    t.notOk('duration' in app.at('/status')[1]!.json)
    app.posted.length = 0
    await simulateCall({ url: app.url('/in'), statusHook: '/status', hangUpAfterMs: 1_500 })
    t.match(app.at('/status')[2]!.json, {
      call_status: 'completed',
      duration: 1,
      call_termination_by: 'caller'
    })
    app.posted.length = 0
    await simulateCall({ url: app.url('/in'), statusHook: '/status', direction: 'outbound' })
    t.strictSame(statuses(), ['trying', 'ringing', 'in-progress', 'completed'])
    t.match(app.at('/in')[0]!.json, { direction: 'outbound', call_status: 'in-progress' })
  }
)

t.test(
  'an unanswered call ends with no-answer, or jambonz declines the call without a status event',
  async (t) => {
    const app = await application(t, { '/in': [{ verb: 'pause', length: 60 }], '/status': {} })
    const call = simulateCall({ url: app.url('/in'), statusHook: '/status', speed: 20 })
    await call.waitFor('verb')
    call.hangUp()
    await call
    t.match(app.at('/status').at(-1)!.json, { call_status: 'no-answer', sip_status: 487 })
    app.posted.length = 0
    const declined = await simulateCall({ url: app.url('/in'), statusHook: '/status' })
    t.strictSame(
      app.at('/status').map(({ json }) => json.call_status),
      ['trying']
    )
    t.match(declined.errors, ['jambonz declines the call (603): no verb answered it'])
  }
)

t.test('the call ends if the first webhook fails', async (t) => {
  const cases: Array<[string, Parameters<typeof application>[1][string], RegExp]> = [
    ['a 500', { status: 500 }, /answered 500/],
    ['a redirect', { status: 302 }, /answered 302/],
    ['a 201', { status: 201, verbs: hangup }, /answered 201/],
    ['another content type', { contentType: 'text/html', body: JSON.stringify(hangup) }, /without verbs/],
    ['no body', { status: 204 }, /without verbs/],
    ['broken JSON', { contentType: 'application/json', body: '[{' }, /JSON/],
    ['an object', { contentType: 'application/json', body: '{"verb":"hangup"}' }, /must be an array/],
    ['no verbs', [], /without verbs/],
    ['an unknown verb', [{ verb: 'sing' }], /unknown verb 'sing'/],
    [
      'an unknown property',
      [{ verb: 'listen', url: '/a', colour: 'red' }],
      /listen has the unknown property 'colour'/
    ],
    [
      'a wrong type',
      [{ verb: 'listen', url: '/a', finishOnKey: 5 }],
      /listen\.finishOnKey is 5 \(number\), must be string/
    ],
    [
      'a value that is not in the enum',
      [{ verb: 'listen', url: '/a', mixType: 'both' }],
      /mixType is "both"/
    ],
    ['a missing property', [{ verb: 'listen' }], /lacks the required property 'url'/],
    [
      'a wrong nested property',
      [
        {
          verb: 'dial',
          target: [{ type: 'phone', number: '1' }],
          listen: { url: '/a', wsAuth: { username: 'a' } }
        }
      ],
      /dial\.listen\.wsAuth lacks the required property 'password'/
    ],
    ['no object', [5], /each verb must be an object, but one is 5/],
    ['a verb whose name is a number', [{ verb: 5 }], /verb must be the name of a verb, but it is 5/],
    ['a verb without properties', [{ say: 'hi' }], /say must have an object of properties/],
    ['a long mistake', ['x'.repeat(200)], /but one is "x{79}…/],
    [
      'a target that is not a list',
      [{ verb: 'dial', target: { type: 'phone' } }],
      /dial\.target must be an array/
    ],
    [
      'credentials that are not an object',
      [{ verb: 'listen', url: '/a', wsAuth: 'a:b' }],
      /listen\.wsAuth must be an object/
    ],
    ['two verbs in one object', [{ say: { text: 'a' }, hangup: {} }], /has no verb property/],
    ['a dead connection', { destroy: true }, /failed: socket hang up/]
  ]
  for (const [name, answer, text] of cases) {
    const app = await application(t, { '/in': answer })
    const story = await simulateCall({ url: app.url('/in') })
    t.match(story.errors[0], text, name)
    t.equal(story.verbs.length, 0)
  }
})

t.test("each simulated verb has the properties that jambonz' own specifications list", async (t) => {
  const { specs: published } = createRequire(import.meta.url)('@jambonz/verb-specifications') as {
    specs: Record<string, { properties: object; required?: string[] } | undefined>
  }
  for (const [name, spec] of Object.entries(SPECS)) {
    const { properties, required = [] } = published[name === 'stream' ? 'listen' : name]!
    t.strictSame(Object.keys(spec).sort(), Object.keys(properties).sort(), name)
    t.strictSame(
      Object.keys(spec)
        .filter((key) => spec[key]!.endsWith('!'))
        .sort(),
      required.toSorted(),
      `${name}: required`
    )
  }
})

t.test('both spellings of a verb are accepted, and the status may be 200 or 202', async (t) => {
  const app = await application(t, {
    '/in': { status: 202, verbs: [{ answer: {} }, { say: { text: 'hi' } }, { verb: 'hangup' }] }
  })
  const story = await simulateCall({ url: app.url('/in') })
  t.strictSame([story.errors, story.verbs.map(({ verb }) => verb)], [[], ['answer', 'say', 'hangup']])
})

t.test("the url's fragment decides if a request is retried, after 500 ms, 1 s, 2 s …", async (t) => {
  const app = await application(t, {
    '/in': (_posted, count) => (count < 3 ? { status: 503 } : hangup),
    '/never': { status: 503 },
    '/notfound': { status: 404 }
  })
  const story = await simulateCall({ url: app.url('/in#rc=3&rp=5xx') })
  t.strictSame(
    story.requests.map(({ attempt, status }) => [attempt, status]),
    [
      [1, 503],
      [2, 503],
      [3, 200]
    ]
  )
  t.ok(story.requests[1]!.atMs >= 500 && story.requests[2]!.atMs >= 1_500)
  t.equal(app.posted[0]!.url, '/in', 'the fragment is not sent')
  const failing = async (path: string) =>
    (await simulateCall({ url: app.url(path), speed: 20 })).requests.length
  t.equal(await failing('/never'), 1)
  t.equal(await failing('/never#rc=2&rp=4xx,ct'), 1)
  t.equal(await failing('/notfound#rc=1&rp=4xx'), 2)
  t.equal(await failing('/never#rc=2&rp=all'), 3)
  const policy = new RetryPolicy('#rc=9&rp=rt,ct')
  const backoff = new Backoff()
  t.strictSame(
    [1, 2, 3, 4, 5, 6].map((attempt) =>
      policy.allows(attempt, { timedOut: true }) ? backoff.next() : undefined
    ),
    [500, 1_000, 2_000, 4_000, 6_000, undefined],
    'at most five retries'
  )
  t.equal(
    new RetryPolicy('#rc=1').allows(1, { code: 'ECONNREFUSED' }),
    true,
    'by default, connection errors are retried'
  )
  t.equal(new RetryPolicy('').allows(1, { code: 'ECONNREFUSED' }), false)
})

t.test('with duplicated requests, the application gets each webhook and hook twice', async (t) => {
  const app = await application(t, {
    '/in': [{ verb: 'listen', url: '/nobody', actionHook: '/done' }, { verb: 'hangup' }],
    '/done': []
  })
  await simulateCall({ url: app.url('/in'), faults: { duplicateWebhook: true, duplicateHook: true } })
  t.equal(app.at('/in').length, 2)
  t.equal(app.at('/in')[0]!.body, app.at('/in')[1]!.body)
  t.equal(app.at('/done').length, 2)
})

t.test(
  'at any speed, the timeout of a request is in real time; after the timeout of a hook, the call continues',
  async (t) => {
    const app = await application(t, {
      '/in': [{ verb: 'listen', url: '/nobody', actionHook: '/slow' }, { verb: 'hangup' }],
      '/slow': { delayMs: 600 }
    })
    for (const speed of [20, Infinity]) {
      const story = await simulateCall({ url: app.url('/in'), speed })
      t.notMatch(
        story.errors.join(),
        /no answer within/,
        `at speed ${speed}, 0.6 s of real time do not exceed the timeout of 10 s`
      )
      const late = await simulateCall({ url: app.url('/in'), speed, httpTimeoutMs: 200 })
      t.match(late.errors.join(), /hook POST \/slow failed: no answer within 200 ms/)
      t.equal(late.verbs.at(-1)!.verb, 'hangup')
    }
  }
)

t.test(
  'a request fails if its hook is no url, its reply never ends, or its reused connection is closed',
  async (t) => {
    const listen = { verb: 'listen', url: '/nobody' }
    const app = await application(t, {
      '/in': [
        { ...listen, actionHook: 'done' },
        { ...listen, actionHook: '/huge' },
        { ...listen, actionHook: '/fine' },
        { verb: 'hangup' }
      ],
      '/huge': { contentType: 'application/json', body: ' '.repeat(10 * 1024 * 1024 + 1) },
      '/fine': []
    })
    const story = await simulateCall({ url: app.url('/in') })
    t.match(
      story.errors.filter((text) => !text.startsWith('listen')),
      [/hook 'done': jambonz needs a path/, /\/huge failed: reply of more than/]
    )
    t.equal(app.at('/fine').length, 1)

    let requests = 0
    const flaky = createServer((request, response) => {
      request.resume()
      requests++
      // Resets each connection at its second request.
      if (request.socket.bytesRead > 0 && seen.has(request.socket)) return request.socket.resetAndDestroy()
      seen.add(request.socket)
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify(requests === 1 ? [{ verb: 'redirect', actionHook: '/again' }] : hangup))
    })
    const seen = new Set<unknown>()
    await new Promise<void>((resolve) => flaky.listen(0, '127.0.0.1', resolve))
    t.teardown(() => flaky.close())
    const retried = await simulateCall({
      url: `http://127.0.0.1:${(flaky.address() as { port: number }).port}/in`
    })
    t.strictSame([retried.errors, requests], [[], 3])
  }
)

t.test('requests to one host are sent one after the other', async (t) => {
  let running = 0
  let most = 0
  const slow = async () => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setImmediate(resolve))
    running--
    return []
  }
  const app = await application(t, {
    '/in': [
      { verb: 'config', transcribe: { enable: true, transcriptionHook: '/heard' } },
      { verb: 'pause', length: 10 },
      { verb: 'hangup' }
    ],
    '/heard': slow
  })
  await simulateCall({
    url: app.url('/in'),
    transcripts: ['a', 'b', 'c'].map((text, i) => ({ text, atMs: 500 + i }))
  })
  t.equal(app.at('/heard').length, 3)
  t.equal(most, 1)
})

t.test(
  "keys are converted to snake_case as in jambonz' library, with the same four exceptions",
  async (t) => {
    t.strictSame(
      [
        'callSid',
        'sbcCallid',
        'callSID',
        'call_sid',
        'X-CID',
        'from',
        'SID',
        'trailing_',
        '_customerData',
        'playbackLastOffsetPos'
      ].map(snakeCase),
      [
        'call_sid',
        'sbc_callid',
        'call_s_i_d',
        'call_sid',
        'x_cid',
        'from',
        'sid',
        'trailing',
        'customerdata',
        'playback_last_offset_pos'
      ]
    )
    t.strictSame(snakeCaseKeys({ aB: [{ cD: 1 }], customerData: { eF: 1 }, sip: { gH: 1 } }), {
      a_b: [{ c_d: 1 }],
      customerData: { eF: 1 },
      sip: { gH: 1 }
    })
  }
)
