import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import type { WebSocket } from 'ws'
import { folder } from '../helpers/build.js'
import { ramp } from '../helpers/listen.js'
import { callWebhook } from '../helpers/payloads.js'
import { openSocket } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

/** ms, on a busy machine */
const START = 60_000
const NPM = ['npm', 'start']
const NODE = [process.execPath, resolve('dist/example-app/server.js')]
/** `npm start` whose application is compiled: it starts in half the time. The first test has the real one. */
const COMPILED = [...NPM, '--prefix', compiledStart()]
/** As the first process of a container. */
const PID_1 = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--kill-child']
const WITHOUT_NAMESPACES =
  process.env.CI === undefined && spawnSync(PID_1[0]!, [...PID_1.slice(1), 'true']).status !== 0
    ? 'no process namespaces here'
    : false

function compiledStart(): string {
  const { start } = (JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { start: string } })
    .scripts
  const directory = folder()
  const script = start.replace('node --import tsx example-app/server.ts', NODE.join(' '))
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ scripts: { start: script } }))
  return directory
}

/** The example in a process, with one live call. */
interface Started {
  /** what was started: npm, or unshare */
  child: ChildProcess
  output(): string
  socket: WebSocket
  /** names of what lies in its folder of recordings, when all is over */
  wavs(): Promise<string[]>
  /** nothing listens at its port any more */
  isGone(): Promise<boolean>
}

async function start(t: Test, [command = '', ...args]: string[], drainSeconds: number): Promise<Started> {
  const directory = folder()
  const child = spawn(command, args, {
    detached: true,
    env: { ...process.env, PORT: '0', RECORDINGS_DIR: directory, DRAIN_SECONDS: String(drainSeconds) }
  })
  t.teardown(() => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {}
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data))
  const [, base = ''] = await until(
    () => /listening at (http:\/\/[\d.:]+)/.exec(output),
    'the application to listen',
    START
  )
  const payload = JSON.stringify(callWebhook())
  const answer = await fetch(`${base}/voicemail`, {
    method: 'POST',
    body: payload,
    headers: { 'content-type': 'application/json' }
  })
  const listen = ((await answer.json()) as Array<{ verb: string; url: string }>).find(
    ({ verb }) => verb === 'listen'
  )
  const socket = await openSocket(base + listen!.url)
  t.teardown(() => socket.terminate())
  socket.on('message', (data) => {
    if (String(data).includes('disconnect')) socket.close(1000)
  })
  socket.send(payload)
  socket.send(ramp(500))
  await until(() => output.includes('listen streams'), 'the call to stream')
  return {
    child,
    output: () => output,
    socket,
    async wavs() {
      return (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.wav'))
    },
    async isGone() {
      return await fetch(base).then(
        () => false,
        () => true
      )
    }
  }
}

/** The process ends in order: exit code 0, its one recording whole. */
async function endsInOrder(t: Test, { child, output, wavs, isGone }: Started): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  t.same([child.exitCode, child.signalCode], [0, null], output())
  await until(isGone, 'its port to be free')
  const names = await wavs()
  t.equal(names.length, 1)
  t.notMatch(names[0], /\.part\./)
}

/** The id, here, of the process that is number 1 in its namespace. */
async function firstOf({ pid }: ChildProcess): Promise<number> {
  return Number(await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'))
}

t.jobs = 2

// The terminal gives it to every process of the group, and npm passes its own on: it comes twice.
t.test('Ctrl-C in npm start drains live calls and completes their recordings', async (t) => {
  const started = await start(t, NPM, 1)
  process.kill(-started.child.pid!, 'SIGINT')
  await once(started.socket, 'close')
  await endsInOrder(t, started)
  t.notMatch(started.output(), /told again/)
})

t.test('SIGTERM to npm alone drains the application', async (t) => {
  const started = await start(t, COMPILED, 1)
  process.kill(started.child.pid!, 'SIGTERM')
  await once(started.socket, 'close')
  await endsInOrder(t, started)
})

t.test('the application ends when its npm is killed -9', async (t) => {
  const started = await start(t, COMPILED, 0)
  process.kill(started.child.pid!, 'SIGKILL')
  await once(started.socket, 'close')
  await until(started.isGone, 'its port to be free')
  await until(async () => !(await started.wavs()).some((name) => name.includes('.part.')), 'a whole file')
  t.equal((await started.wavs()).length, 1)
})

t.test('the application runs as process 1 of a container', { skip: WITHOUT_NAMESPACES }, async (t) => {
  t.jobs = 2
  for (const [name, command] of [
    ['npm start', COMPILED],
    ['node', NODE]
  ] as const) {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      t.test(`${name} ends in order on ${signal}`, async (t) => {
        const started = await start(t, [...PID_1, ...command], 1)
        process.kill(await firstOf(started.child), signal)
        await endsInOrder(t, started)
      })
    }
  }
  t.test('a second signal ends the calls at once with complete recordings', async (t) => {
    const started = await start(t, [...PID_1, ...NODE], 600)
    const pid = await firstOf(started.child)
    process.kill(pid, 'SIGTERM')
    await until(() => started.output().includes('stopping: '), 'the drain to begin')
    await until(() => {
      // the same signal, until enough time has gone by for it to be another one
      process.kill(pid, 'SIGTERM')
      return started.output().includes('told again to stop')
    }, 'the second one')
    await endsInOrder(t, started)
    t.notMatch(started.output(), /third/)
  })
})
