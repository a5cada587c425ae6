import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { transform } from 'esbuild'
import t, { type Test } from 'tap'
import type { Listen } from '../../lib/index.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, folder, listening } from '../helpers/build.js'
import { freePort } from '../helpers/redis.js'
import { until } from '../helpers/until.js'
import { V8_OPTIONS } from '../helpers/v8Options.js'

// The simulator calls the published examples of @jambonz/sdk over their application websockets.

// Each example is a process that takes a while to start, so two tests run side by side.
t.jobs = 2

/** ms between two requests to an example that starts */
const LISTEN_INTERVAL = 50
const EXAMPLES = 'node_modules/@jambonz/sdk/examples'

/** Starts an example on a free port. Resolves to its url, and a function that returns its output so far. */
async function example(t: Test, name: string, preamble = ''): Promise<{ url: string; output: () => string }> {
  const port = await freePort()
  // The directory is inside the package, so that an import of the SDK finds it.
  const directory = join('.tap', `sdk-${process.pid}-${name}`)
  mkdirSync(directory, { recursive: true })
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const source = readFileSync(join(EXAMPLES, name, 'ws-app.ts'), 'utf8').replace(
    /port: 3000/,
    `port: ${port}`
  )
  const file = join(directory, 'app.mjs')
  writeFileSync(file, preamble + (await transform(source, { loader: 'ts' })).code)
  const child = spawn(process.execPath, [...V8_OPTIONS, file], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let written = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (written += String(data)))
  const listens = async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${written}`)
    return await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false
    )
  }
  await until(listens, `${name} to listen`, undefined, LISTEN_INTERVAL)
  return { url: `ws://127.0.0.1:${port}`, output: () => written }
}

t.test('hello-world: the example runs without errors', async (t) => {
  const { url } = await example(t, 'hello-world')
  const story = await simulateCall({ url })
  t.strictSame(story.errors, [])
  t.strictSame(
    story.verbs.map(({ verb }) => verb),
    ['say', 'hangup']
  )
})

t.test('echo: the caller hears their own voice until they hang up', async (t) => {
  const { url, output } = await example(t, 'echo')
  const story = await simulateCall({
    url: `${url}/echo`,
    transcripts: ['hello there'],
    statusHook: '/status',
    hangUpAfterMs: 20_000
  })
  t.strictSame(story.errors, [])
  t.match(story.verbs.find(({ verb }) => verb === 'say')?.data, { text: /You said: hello there/ })
  t.match(output(), 'speechDetected')
})

t.test(
  'call-recording: the example dials, and sends a command that the simulator only records',
  async (t) => {
    const { url, output } = await example(t, 'call-recording')
    const story = await simulateCall({ url, statusHook: '/status', hangUpAfterMs: 10_000 })
    t.strictSame(story.errors, [])
    t.equal(story.legs.length, 1)
    await until(() => output().includes('completed'), 'the status events')
  }
)

t.test('queue-with-hold: verbs that are not simulated cause no error', async (t) => {
  const { url } = await example(t, 'queue-with-hold')
  for (const [path, verbs] of [
    ['/incoming', ['say', 'enqueue']],
    ['/agent', ['say', 'dequeue', 'say', 'hangup']]
  ] as const) {
    const story = await simulateCall({ url: url + path, hangUpAfterMs: 20_000 })
    t.strictSame(story.errors, [])
    t.strictSame(
      story.verbs.map(({ verb }) => verb),
      verbs
    )
  }
})

/**
 * Adds session.room(). The examples of rooms call it, but the SDK has room() only on the session's builder.
 */
const SESSION_ROOM = `import { Session } from '@jambonz/sdk/websocket'
Session.prototype.room ??= function (options) { this.builder.room(options); return this }
`

for (const [name, delay, command, data] of [
  ['room-say', 'SAY_DELAY_MS', 'room:say', { text: /^Welcome/, id: 'announcement' }],
  ['room-play-tone', 'PLAY_DELAY_MS', 'room:play', { url: /^tone:/, id: 'tone' }]
] as const) {
  t.test(`${name}, on jambonz 11: the room reports who joins, and then plays audio`, async (t) => {
    const { url, output } = await example(t, name, SESSION_ROOM)
    const call = simulateCall({
      url: `${url}/${name}`,
      platform: '11',
      env: { [delay]: '0' },
      hangUpAfterMs: 3_600_000
    })
    await call.waitFor('command')
    call.hangUp()
    const story = await call
    t.strictSame(story.errors, [], output())
    t.match(
      story.commands.map(({ command, data }) => ({ command, data })),
      [{ command, data }]
    )
    t.match(
      story.verbs.map(({ verb }) => verb),
      ['answer', 'room']
    )
    await until(() => output().includes('closed: 1000'), 'the end')
    for (const event of ['start', 'join', 'leave', 'end']) {
      t.match(output(), `room status: ${event}`)
    }
  })
}

t.test("stream-then-room, on jambonz 11: the plugin receives the example's audio", async (t) => {
  const app = await build(t, { platform: '11', strict: false, recording: { directory: folder() } })
  const ended: Listen[] = []
  app.jambonz.calls.events.on('listenEnded', (listen) => ended.push(listen))
  const audio = `${(await listening(app)).replace('http', 'ws')}/audio`
  const { url, output } = await example(t, 'stream-then-room')
  const story = await simulateCall({
    url: `${url}/stream-then-room`,
    platform: '11',
    env: { STREAM_WS_URL: audio },
    hangUpAfterMs: 5_000
  })
  t.strictSame(story.errors, [], output())
  await until(() => ended.length === 1, 'the end of the listen')
  t.match(ended, [{ callSid: story.callSid }])
  t.ok(Number(ended[0]?.recording?.durationMs) > 0)
})
