import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { simulateCall } from 'fastify-jambonz-listen/simulator'
import type { Listen } from 'fastify-jambonz-listen'
import t from 'tap'
import { EnvironmentSchema, readEnvironment } from '../../example-app/environment.js'
import { folder, listening } from '../helpers/build.js'
import { exampleApp, openDesk } from '../helpers/exampleApp.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { basic, statusOf } from '../helpers/socket.js'
import { until } from '../helpers/until.js'
import { V8_OPTIONS } from '../helpers/v8Options.js'

const DESK = { DESK_PASSWORD: 'engine' }
const SUPERVISOR = basic('ada', 'engine')
const PUBLIC = 'example-app/desk/public'

// Some tests wait for processes to start, so two tests run at the same time.
t.jobs = 2

t.test('a wrong environment variable causes an error that names the variable', async (t) => {
  t.match(readEnvironment({}), { HOST: '127.0.0.1', PORT: 3000, RECORDINGS_DIR: 'recordings' })
  t.match(
    readEnvironment({ SECRET: '', PORT: '8080' }),
    { SECRET: undefined, PORT: 8080 },
    'an empty variable counts as not set'
  )
  t.throws(
    () => readEnvironment({ PORT: 'http', SECRET: 'short' }),
    /PORT must be integer, env\/SECRET must NOT have fewer than 16/
  )
  t.throws(
    () => readEnvironment({ REDIS_URL: 'redis://127.0.0.1' }),
    /SECRET when property REDIS_URL is present/
  )
  for (const HOST of ['0.0.0.0', '::', '192.168.1.20', 'desk.example.org']) {
    t.throws(
      () => readEnvironment({ HOST }),
      /set DESK_PASSWORD, or HOST=127.0.0.1/,
      `${HOST} needs a password`
    )
    t.equal(readEnvironment({ HOST, ...DESK }).HOST, HOST)
  }
  t.throws(
    () => readEnvironment({ PUBLIC_URL: 'https://voice.example.org' }),
    /PUBLIC_URL=https:\/\/voice.example.org would show every call .*: set DESK_PASSWORD/
  )
  for (const HOST of ['127.0.0.1', '127.1.2.3', 'localhost', '::1']) {
    t.equal(readEnvironment({ HOST }).HOST, HOST)
  }
})

t.test("the example application's README describes every setting", async (t) => {
  const readme = await readFile('example-app/README.md', 'utf8')
  for (const [name, schema] of Object.entries(EnvironmentSchema.properties)) {
    const value = 'default' in schema ? `\`${schema.default}\`` : ''
    t.ok(readme.includes(`| \`${name}\` | ${value} | ${schema.description} |`), name)
  }
})

t.test('the process says why it can not start, and drains on a signal', async (t) => {
  const start = (env: NodeJS.ProcessEnv) =>
    spawn(process.execPath, [...V8_OPTIONS, 'dist/example-app/server.js'], {
      env: { ...process.env, PORT: '0', RECORDINGS_DIR: folder(), DRAIN_SECONDS: '0', ...env }
    })
  const refused = start({ HOST: '0.0.0.0' })
  const server = start({})
  t.teardown(() => server.kill('SIGKILL'))
  const complaint = refused.stderr.toArray()
  const lines = createInterface(server.stdout)
  await until(async () => /listening at http/.test(String(await once(lines, 'line'))), 'the server to listen')
  server.kill('SIGTERM')
  t.same(await once(server, 'exit'), [0, null])
  if (refused.exitCode === null) await once(refused, 'exit')
  t.equal(refused.exitCode, 1)
  t.match(String(Buffer.concat(await complaint)), /could not start: HOST=0.0.0.0 would show every call/)
})

t.test(
  'without a password, only this machine reaches the page; everybody reaches the webhooks',
  async (t) => {
    const app = await exampleApp(t)
    for (const host of ['127.0.0.1:3000', 'localhost:3000', '[::1]:3000']) {
      t.equal((await app.inject({ url: '/', headers: { host } })).statusCode, 200, host)
    }
    const host = '127.0.0.1:3000'
    for (const headers of [
      { host: 'abc.tunnel.example' },
      { 'host': '127.0.0.1:3000', 'x-forwarded-for': '203.0.113.7' },
      { host: 'localhost', forwarded: 'for=203.0.113.7' },
      // requests to a foreign name that resolves to this machine (DNS rebinding)
      { host: 'rebound.example:3000' },
      { host: '127.0.0.1.rebound.example' },
      { host: '127.0.0.1:80@rebound.example' },
      { host: 'localhost:port' },
      // requests through proxies that name the client in another header, or name only themselves
      ...[
        'via',
        'x-real-ip',
        'x-forwarded-proto',
        'x-forwarded-host',
        'x-client-ip',
        'true-client-ip',
        'cf-connecting-ip',
        'cf-ray',
        'cdn-loop',
        'fly-client-ip',
        'x-request-id',
        'x-a-proxy-of-next-year'
      ].map((name) => ({ host, [name]: '203.0.113.7' })),
      // a request through nginx with proxy_pass and no other setting
      { host, connection: 'close' },
      // requests of a page behind a proxy that adds no header
      { host, referer: 'https://desk.example.org/' },
      { host, origin: 'https://desk.example.org' },
      { host, origin: 'null' },
      // requests that another site's page makes for a file
      { host, 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'audio' },
      { host, 'sec-fetch-site': 'same-site', 'sec-fetch-dest': 'iframe' }
    ]) {
      for (const url of ['/', '/recordings/', '/ticket', '/live', '/live/x', '/settings']) {
        const response = await app.inject({ url, headers })
        t.equal(response.statusCode, 403, `${url} ${JSON.stringify(headers)}`)
        t.match(response.json(), { message: /set DESK_PASSWORD/ })
      }
      const webhook = await app.inject({
        method: 'POST',
        url: '/voicemail',
        headers,
        payload: { call_sid: 'sid-1', from: '1' }
      })
      t.equal(webhook.statusCode, 200)
    }
    t.equal((await app.inject({ url: '/', remoteAddress: '192.0.2.7', headers: { host } })).statusCode, 403)
    const address = new URL(await listening(app))
    t.match(await answerTo(address, 'GET / HTTP/1.0\r\nHost: 127.0.0.1:3000\r\n\r\n'), /^HTTP\/1.1 403 /)
    t.match(
      await answerTo(address, 'GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nConnection: upgrade\r\n\r\n'),
      /^HTTP\/1.1 403 /
    )
    for (const asked of [
      'GET http://desk.example/ HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nHost: desk.example\r\n\r\n'
    ]) {
      t.match(await answerTo(address, asked), /^HTTP\/1.1 403 /, asked)
    }
    t.match(await answerTo(address, 'GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n'), /^HTTP\/1.1 200 /)
    const link = { host, 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'document' }
    t.equal(
      (await app.inject({ url: '/', headers: link })).statusCode,
      200,
      'a link on another site may open the page'
    )
    t.equal((await fetch(address)).status, 200, 'a command-line tool on this machine may fetch the page')
  }
)

/** Sends a request exactly as written. Resolves to the head of the answer. */
async function answerTo({ hostname, port }: URL, request: string): Promise<string> {
  const socket = connect(Number(port), hostname)
  socket.write(request)
  const [head] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return head.toString()
}

t.test('if a password is set, the page needs the password and the webhooks do not', async (t) => {
  const app = await exampleApp(t, DESK)
  const headers = { 'host': 'desk.example.org', 'x-forwarded-for': '203.0.113.7' }
  for (const url of ['/', '/desk.js', '/recordings/', '/recordings/x.wav', '/ticket', '/settings']) {
    const refused = await app.inject({ url, headers })
    t.equal(refused.statusCode, 401, url)
    t.match(refused.headers['www-authenticate'], /Basic realm="desk"/)
    t.equal((await app.inject({ url, headers: { ...headers, ...basic('ada', 'engin') } })).statusCode, 401)
  }
  t.equal(
    (await app.inject({ method: 'POST', url: '/simulate', headers, payload: { line: 'voicemail' } }))
      .statusCode,
    401
  )
  t.equal(
    (await app.inject({ url: '/', headers: { ...headers, ...basic('ada', 'engine') } })).statusCode,
    200
  )
  t.equal(
    (await app.inject({ method: 'POST', url: '/voicemail', headers, payload: { call_sid: 'sid-1' } }))
      .statusCode,
    200
  )
})

t.test('each ticket opens only one socket', async (t) => {
  const app = await exampleApp(t, DESK)
  const address = await listening(app)
  const { ticket } = (await app.inject({ url: '/ticket', headers: basic('ada', 'engine') })).json<{
    ticket: string
  }>()
  t.equal(await statusOf(`${address}/live`), 401)
  t.equal(
    await statusOf(`${address}/live`, { headers: basic('ada', 'engine') }),
    401,
    "the password alone opens no socket, because another site's page could send it"
  )
  t.equal(await statusOf(`${address}/live?ticket=${ticket}`), 101)
  t.equal(await statusOf(`${address}/live/x?ticket=${ticket}`), 401)
})

t.test(
  'the page loads nothing from other hosts, and its content security policy forbids such loads',
  async (t) => {
    const app = await exampleApp(t)
    const page = await app.inject('/')
    t.match(page.headers['content-security-policy'], /^default-src 'none';script-src 'self';style-src 'self'/)
    t.notMatch(page.headers['content-security-policy'], /unsafe|https?:|\*/)
    for (const name of await readdir(PUBLIC)) {
      t.equal((await app.inject(`/${name}`)).statusCode, 200, name)
      const text = (await readFile(join(PUBLIC, name), 'utf8')).replaceAll('http://www.w3.org/2000/svg', '')
      t.notMatch(
        text,
        /https?:\/\/|style="|<script>| on\w+="/,
        `${name} has no foreign addresses and no inline code`
      )
    }
  }
)

t.test('recordings are listed by day, and only complete recordings are served', async (t) => {
  const directory = folder()
  const app = await exampleApp(t, { RECORDINGS_DIR: directory })
  const stories = [
    await simulateCall({ app, hook: '/voicemail', from: '+1555' }),
    await simulateCall({ app, hook: '/voicemail', from: 'sip:bob@example.org' })
  ]
  await mkdir(join(directory, '2020-01-01'))
  for (const name of ['12-00-00-x.part.wav', '12-00-00-x.part.json.token', 'note.txt']) {
    await writeFile(join(directory, '2020-01-01', name), 'half')
  }

  const {
    dirs: [, day]
  } = (await app.inject('/recordings/')).json<{ dirs: string[] }>()
  const { files } = (await app.inject(`/recordings/${day}/`)).json<{ files: string[] }>()
  t.equal(files.length, 4)
  for (const name of files.filter((name) => name.endsWith('.wav'))) {
    t.match(name, /^\d\d-\d\d-\d\d-\w+-\w{4}\.wav$/)
    const { callSid } = (await app.inject(`/recordings/${day}/${name.replace('wav', 'json')}`)).json<Listen>()
    const whole = await app.inject(`/recordings/${day}/${name}`)
    t.equal(whole.headers['content-type'], 'audio/wav')
    t.ok(
      whole.rawPayload.includes(stories.find((story) => story.callSid === callSid)!.listens[0]!.sent.pcm!),
      'the recording contains every byte that was sent'
    )
    const part = await app.inject({
      url: `/recordings/${day}/${name}`,
      headers: { range: 'bytes=1000-1999' }
    })
    t.equal(part.statusCode, 206, 'a player can seek')
    t.same(part.rawPayload, whole.rawPayload.subarray(1000, 2000))
  }
  for (const path of [
    '2020-01-01/12-00-00-x.part.wav',
    '2020-01-01/12-00-00-x.part.json.token',
    '2020-01-01/note.txt',
    '../package.json',
    '..%2f..%2fpackage.json',
    '%2e%2e/package.json',
    '.instances/'
  ]) {
    t.not((await app.inject(`/recordings/${path}`)).statusCode, 200, path)
  }
})

t.test(
  'the page shows the keys of a call on any instance, but no private keys',
  { skip: noRedis() },
  async (t) => {
    const redis = await startRedis(t)
    const env = {
      REDIS_URL: redis.url,
      SECRET: 'a secret of both instances',
      PUBLIC_URL: 'https://voice.example.org',
      ...DESK
    }
    const [one, two] = [await exampleApp(t, env), await exampleApp(t, env)]
    const page = await openDesk(t, await listening(two), SUPERVISOR)
    const story = await simulateCall({
      app: one,
      hook: '/agent',
      publicUrl: env.PUBLIC_URL,
      statusHook: '/status',
      from: '+1555',
      press: ['5*@4s', '4929@5s', '*7#@6s'],
      speed: 5
    })
    t.same(story.errors, [])
    t.match(await page.state('the end of the call', ({ calls }) => calls[0]?.endedAt), {
      instance: two.jambonz.instance,
      calls: [
        {
          from: '+1555',
          data: { keys: '5*••••*7#' },
          listens: [{ instance: one.jambonz.instance, recording: { state: 'saved' } }]
        }
      ]
    })
    t.same((await two.inject({ url: '/settings', headers: SUPERVISOR })).json(), {
      publicUrl: env.PUBLIC_URL
    })
  }
)

t.test('calls are simulated on request; the number of simulated calls at a time is limited', async (t) => {
  const app = await exampleApp(t, {
    JAMBONZ_WEBHOOK_SECRET: 'of the portal',
    PUBLIC_URL: 'https://voice.example.org',
    ...DESK
  })
  const simulate = (line: string) =>
    app.inject({ method: 'POST', url: '/simulate', headers: SUPERVISOR, payload: { line } })
  t.match((await simulate('fax')).json(), {
    statusCode: 400,
    message: /line must be equal to one of the allowed values/
  })
  t.equal(
    (
      await app.inject({
        method: 'POST',
        url: '/simulate',
        headers: { ...SUPERVISOR, 'content-type': 'text/plain' },
        payload: '{"line":"voicemail"}'
      })
    ).statusCode,
    400,
    "another site's form can not start a call"
  )
  const { callSid } = (await simulate('voicemail')).json<{ callSid: string }>()
  const call = await until(() => app.jambonz.calls.get(callSid), 'the call')
  t.match(call, { from: /^\+1555/ })
  t.same((await simulate('agent')).statusCode, 202)
  await until(
    async () => (await app.jambonz.calls.list()).some(({ listens }) => listens[0]?.state === 'streaming'),
    'the simulated call has audio, whatever the public address'
  )
  for (let i = 2; i < 8; i++) t.equal((await simulate('voicemail')).statusCode, 202)
  t.match((await simulate('voicemail')).json(), { message: /8 simulated calls are running/ })
})
