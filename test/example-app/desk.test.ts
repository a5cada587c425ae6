import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { simulateCall, speechLike } from 'fastify-jambonz-listen/simulator'
import type { Call, Listen } from 'fastify-jambonz-listen'
import t from 'tap'
import { EnvironmentSchema, readEnvironment } from '../../example-app/environment.js'
import { folder, listening } from '../helpers/build.js'
import { exampleApp, openDesk } from '../helpers/exampleApp.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { basic, statusOf } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

const DESK = { DESK_USERNAME: 'ada', DESK_PASSWORD: 'engine' }
const PUBLIC = 'example-app/desk/public'

t.test('the environment is checked, and what is wrong is named', async (t) => {
  t.match(readEnvironment({}), { HOST: '127.0.0.1', PORT: 3000, RECORDINGS_DIR: 'recordings' })
  t.match(readEnvironment({ SECRET: '', PORT: '8080' }), { SECRET: undefined, PORT: 8080 }, 'empty is not set')
  t.throws(() => readEnvironment({ PORT: 'http' }), /PORT must be integer/)
  t.throws(() => readEnvironment({ DESK_USERNAME: 'ada' }), /DESK_USERNAME and DESK_PASSWORD together/)
  t.throws(() => readEnvironment({ AUDIO_PASSWORD: 'x' }), /AUDIO_USERNAME and AUDIO_PASSWORD together/)
  t.throws(() => readEnvironment({ REDIS_URL: 'redis://127.0.0.1' }), /set SECRET with REDIS_URL/)
  for (const HOST of ['0.0.0.0', '::', '192.168.1.20', 'desk.example.org']) {
    t.throws(() => readEnvironment({ HOST }), /set DESK_USERNAME and DESK_PASSWORD, or HOST=127.0.0.1/, `${HOST} needs a password`)
    t.equal(readEnvironment({ HOST, ...DESK }).HOST, HOST)
  }
  for (const HOST of ['127.0.0.1', '127.1.2.3', 'localhost', '::1']) t.equal(readEnvironment({ HOST }).HOST, HOST)
})

t.test('the README describes every setting', async (t) => {
  const readme = await readFile('example-app/README.md', 'utf8')
  for (const [name, schema] of Object.entries(EnvironmentSchema.properties)) {
    const value = 'default' in schema ? `\`${schema.default}\`` : ''
    t.ok(readme.includes(`| \`${name}\` | ${value} | ${schema.description} |`), name)
  }
})

t.test('the process says why it does not start, and otherwise drains and ends when told to', async (t) => {
  const start = (env: NodeJS.ProcessEnv) => spawn(process.execPath, ['--import', 'tsx', 'example-app/server.ts'], { env: { ...process.env, PORT: '0', RECORDINGS_DIR: folder(), DRAIN_SECONDS: '0', ...env } })
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

t.test('without a password the desk is for this machine alone, the webhooks are for everybody', async (t) => {
  const app = await exampleApp(t)
  for (const host of ['127.0.0.1:3000', 'localhost:3000', '[::1]:3000']) {
    t.equal((await app.inject({ url: '/', headers: { host } })).statusCode, 200, host)
  }
  for (const headers of [{ host: 'abc.tunnel.example' }, { host: '127.0.0.1:3000', 'x-forwarded-for': '203.0.113.7' }, { host: 'localhost', forwarded: 'for=203.0.113.7' }]) {
    for (const url of ['/', '/recordings', '/ticket', '/live']) {
      const response = await app.inject({ url, headers })
      t.equal(response.statusCode, 403, `${url} ${JSON.stringify(headers)}`)
      t.match(response.json(), { message: /set DESK_USERNAME and DESK_PASSWORD/ })
    }
    const webhook = await app.inject({ method: 'POST', url: '/voicemail', headers, payload: { call_sid: 'sid-1', from: '1' } })
    t.equal(webhook.statusCode, 200)
  }
})

t.test('with a password the desk asks for it, the webhooks do not', async (t) => {
  const app = await exampleApp(t, DESK)
  const headers = { host: 'desk.example.org', 'x-forwarded-for': '203.0.113.7' }
  for (const url of ['/', '/desk.js', '/recordings', '/recordings/x.wav', '/ticket']) {
    const refused = await app.inject({ url, headers })
    t.equal(refused.statusCode, 401, url)
    t.match(refused.headers['www-authenticate'], /Basic realm="desk"/)
    t.equal((await app.inject({ url, headers: { ...headers, ...basic('ada', 'engin') } })).statusCode, 401)
  }
  t.equal((await app.inject({ method: 'POST', url: '/simulate', headers, payload: { line: 'voicemail' } })).statusCode, 401)
  t.equal((await app.inject({ url: '/', headers: { ...headers, ...basic('ada', 'engine') } })).statusCode, 200)
  t.equal((await app.inject({ method: 'POST', url: '/voicemail', headers, payload: { call_sid: 'sid-1' } })).statusCode, 200)
})

t.test('the live socket opens with a ticket, once', async (t) => {
  const app = await exampleApp(t, DESK)
  const address = await listening(app)
  const { ticket } = (await app.inject({ url: '/ticket', headers: basic('ada', 'engine') })).json<{ ticket: string }>()
  t.equal(await statusOf(`${address}/live`), 401)
  t.equal(await statusOf(`${address}/live`, { headers: basic('ada', 'engine') }), 401, 'a password alone is what another site\'s page could send')
  t.equal(await statusOf(`${address}/live?ticket=${ticket}`), 101)
  t.equal(await statusOf(`${address}/live?ticket=${ticket}`), 401)
})

t.test('the page loads nothing from elsewhere and says so in its policy', async (t) => {
  const app = await exampleApp(t)
  const page = await app.inject('/')
  t.match(page.headers['content-security-policy'], /^default-src 'none';script-src 'self';style-src 'self'/)
  t.notMatch(page.headers['content-security-policy'], /unsafe|https?:|\*/)
  for (const name of await readdir(PUBLIC)) {
    t.equal((await app.inject(`/${name}`)).statusCode, 200, name)
    const text = (await readFile(join(PUBLIC, name), 'utf8')).replaceAll('http://www.w3.org/2000/svg', '')
    t.notMatch(text, /https?:\/\/|style="|<script>| on\w+="/, `${name} is free of foreign addresses and inline code`)
  }
})

t.test('recordings are listed newest first, and only whole ones are served', async (t) => {
  const directory = folder()
  const app = await exampleApp(t, { RECORDINGS_DIR: directory })
  const stories = [await simulateCall({ app, hook: '/voicemail', from: '+1555' }), await simulateCall({ app, hook: '/voicemail', from: 'sip:bob@example.org' })]
  await mkdir(join(directory, '2020-01-01'))
  for (const name of ['12-00-00-old.json', '12-00-00-torn.part.json', 'note.txt']) await writeFile(join(directory, '2020-01-01', name), '{"half')
  await writeFile(join(directory, '2020-01-01', '12-00-00-x.part.wav'), 'half')
  await writeFile(join(directory, 'no-recording.json'), '{"id":"x"}')

  const listens = (await app.inject('/recordings')).json<Array<Listen & { file: string }>>()
  t.equal(listens.length, 2)
  t.match(listens.map(({ metadata }) => metadata?.caller).sort(), ['+1555', 'sip:bob@example.org'])
  t.match(listens.map(({ file }) => file).sort().reverse(), listens.map(({ file }) => file))
  for (const { file, callSid } of listens) {
    t.match(file, /^\d{4}-\d\d-\d\d\/\d\d-\d\d-\d\d-\w+-\w{4}\.wav$/)
    const whole = await app.inject(`/recordings/${file}`)
    t.equal(whole.headers['content-type'], 'audio/wav')
    t.ok(whole.rawPayload.includes(stories.find((story) => story.callSid === callSid)!.listens[0]!.sent.pcm!), 'every byte that was sent')
    const part = await app.inject({ url: `/recordings/${file}`, headers: { range: 'bytes=1000-1999' } })
    t.equal(part.statusCode, 206, 'a player can seek')
    t.same(part.rawPayload, whole.rawPayload.subarray(1000, 2000))
    t.equal((await app.inject(`/recordings/${file.replace('wav', 'json')}`)).statusCode, 404)
  }
  for (const path of ['2020-01-01/12-00-00-x.part.wav', '2020-01-01/note.txt', '../package.json', '..%2f..%2fetc%2fpasswd', '%2e%2e/x.wav', '.instances/x.wav']) {
    t.not((await app.inject(`/recordings/${path}`)).statusCode, 200, path)
  }
})

t.test('a page is told of a call, its levels and keys, and of the audio of the one it listens to', async (t) => {
  const app = await exampleApp(t, { PUBLIC_URL: 'https://voice.example.org' })
  const address = await listening(app)
  const [page, other] = [await openDesk(t, address), await openDesk(t, address)]
  t.match(page.last('hello'), { now: Number, url: 'https://voice.example.org' })
  t.match(await page.message('state'), { instance: app.jambonz.instance, draining: false, kind: 'memory', store: { available: true }, calls: [] })

  const call = simulateCall({ app, hook: '/agent', publicUrl: 'https://voice.example.org', statusHook: '/status', from: '+1555', press: ['42@1s', '#@2600ms'], speed: 1 })
  const calls = ({ calls }: Record<string, unknown>) => calls as Call[]
  await page.message('state', (state) => calls(state).length === 1)
  const streaming = await page.message('state', (state) => calls(state)[0]?.listens[0]?.state === 'streaming')
  const { id } = calls(streaming)[0]!.listens[0]!
  page.socket.send(JSON.stringify({ listen: id }))
  t.match(await page.message('listening'), { id })
  const story = await call
  const over = await page.message('state', (state) => calls(state)[0]?.endedAt)
  t.notOk('application' in calls(over)[0]! || 'envVars' in calls(over)[0]!, 'no more than the page shows')
  t.match(calls(over)[0], { from: '+1555', data: { keys: '42#' }, listens: [{ id, endReason: 'finishOnKey', recording: { state: 'saved' } }] })

  const heard = Buffer.concat(page.audio)
  t.ok(heard.length > 16_000, 'a second of audio at least')
  t.ok(story.listens[0]!.sent.pcm!.includes(heard), 'what the supervisor hears is what was said, without a hole')
  t.same(other.audio, [], 'who does not listen in gets no audio')
  const levels = other.messages.flatMap(({ levels }) => levels && id in (levels as object) ? [(levels as Record<string, number[]>)[id]!] : [])
  t.ok(levels.length > 10, `levels come many times a second, ${levels.length} in this call`)
  t.ok(levels.every((values) => values.length === 4 && values[0] === 0), 'not paused, one channel')
  t.ok(levels.some(([, , low, high]) => low! < -20 && high! > 20), 'and show that somebody speaks')

  page.socket.send('{"listen":"unknown"}')
  t.match(await page.message('listening', ({ id }) => id === null), { id: null }, 'a listen that is not here')
  page.socket.send('nonsense')
  other.socket.terminate()
  page.socket.close()
  await until(() => app.websocketServer.clients.size === 0, 'the pages to be gone')
  const unwatched = await simulateCall({ app, hook: '/voicemail', publicUrl: 'https://voice.example.org' })
  t.same(unwatched.errors, [])
})

t.test('a supervisor on a line that stands still misses audio; the call misses nothing', async (t) => {
  const app = await exampleApp(t)
  const page = await openDesk(t, await listening(app))
  app.jambonz.calls.events.once('stream', ({ listen: { id } }) => page.socket.send(JSON.stringify({ listen: id })))
  page.socket.pause()
  let waiting = 0
  const sampler = setInterval(() => {
    for (const { bufferedAmount } of app.websocketServer.clients) waiting = Math.max(waiting, bufferedAmount)
  }, 5)
  // Some 5 MB: more than the kernel keeps for a socket that nobody reads.
  const { samples } = speechLike(150, 8000)
  const story = await simulateCall({ app, hook: '/monitor', env: { TARGET: '1' }, speech: { pcm: samples, sampleRate: 8000 }, bLeg: { speech: null } })
  clearInterval(sampler)
  t.same(story.errors, [])
  const { audio, recording } = (await app.jambonz.calls.get(story.callSid))!.listens[0]!
  t.equal(audio.bytes, story.listens[0]!.sent.bytes)
  t.equal(recording?.durationMs, audio.durationMs)
  t.ok(waiting > 0 && waiting < 100_000, `${waiting} bytes waited for the supervisor at most`)
  page.socket.resume()
  await page.message('state', ({ calls }) => (calls as Call[])[0]?.listens[0]?.recording)
  const heard = page.audio.reduce((sum, { length }) => sum + length, 0)
  t.ok(heard > 0 && heard < audio.bytes, `${heard} of ${audio.bytes} bytes reached the supervisor`)
})

t.test('the page of another instance sees the call, and that its audio is not here', { skip: noRedis() }, async (t) => {
  const redis = await startRedis(t)
  const env = { REDIS_URL: redis.url, SECRET: 'a secret of both instances' }
  const [one, two] = [await exampleApp(t, env), await exampleApp(t, env)]
  const page = await openDesk(t, await listening(two))
  const call = simulateCall({ app: one, hook: '/agent', statusHook: '/status', from: '+1555', press: ['5@1s', '#@1500ms'], speed: 1 })
  const state = await page.message('state', ({ calls }) => (calls as Call[])[0]?.listens[0]?.state === 'streaming')
  t.match(state, { kind: 'redis', instance: two.jambonz.instance, store: { available: true }, calls: [{ from: '+1555', listens: [{ instance: one.jambonz.instance }] }] })
  await call
  const over = await page.message('state', ({ calls }) => (calls as Call[])[0]?.endedAt)
  t.match(over, { calls: [{ data: { keys: '5#' }, listens: [{ recording: { state: 'saved' } }] }] })
  await redis.kill()
  t.ok(await page.message('state', ({ store }) => !(store as { available: boolean }).available), 'and when the store is away')
})

t.test('a draining instance says so', async (t) => {
  const app = await exampleApp(t)
  const page = await openDesk(t, await listening(app))
  await page.message('state', ({ draining }) => draining === false)
  await app.jambonz.drain()
  t.ok(await page.message('state', ({ draining }) => draining === true))
})

t.test('calls are simulated on demand, some at a time', async (t) => {
  const app = await exampleApp(t, { JAMBONZ_WEBHOOK_SECRET: 'of the portal', PUBLIC_URL: 'https://voice.example.org' })
  const simulate = (line: string) => app.inject({ method: 'POST', url: '/simulate', payload: { line } })
  t.match((await simulate('fax')).json(), { statusCode: 400, message: /line must be equal to one of the allowed values/ })
  t.equal((await app.inject({ method: 'POST', url: '/simulate', headers: { 'content-type': 'text/plain' }, payload: '{"line":"voicemail"}' })).statusCode, 400, 'a form of another site can not')
  const { callSid } = (await simulate('voicemail')).json<{ callSid: string }>()
  const call = await until(() => app.jambonz.calls.get(callSid), 'the call')
  t.match(call, { from: /^\+1555/ })
  t.same((await simulate('agent')).statusCode, 202)
  await until(async () => (await app.jambonz.calls.list()).some(({ listens }) => listens[0]?.state === 'streaming'), 'audio, whatever the public address')
  for (let i = 2; i < 8; i++) t.equal((await simulate('voicemail')).statusCode, 202)
  t.match((await simulate('voicemail')).json(), { message: /8 simulated calls are running/ })
})
