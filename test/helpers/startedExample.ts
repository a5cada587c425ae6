import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Test } from 'tap'
import type { WebSocket } from 'ws'
import { folder } from './build.js'
import { ramp } from './listen.js'
import { callWebhook } from './payloads.js'
import { openSocket } from './socket.js'
import { until } from './until.js'
import { V8_OPTIONS } from './v8Options.js'

/** maximum ms until the application listens, on a busy machine */
const START = 180_000
export const NPM = ['npm', 'start']
export const NODE = [process.execPath, ...V8_OPTIONS, resolve('dist/example-app/server.js')]
/**
 * `npm start` of the compiled application, which starts in half the time. One test uses `NPM`, which is not
 * compiled.
 */
export const COMPILED = [...NPM, '--prefix', compiledStart()]
/** The command that runs another command as process 1 of a new namespace, as a container does. */
export const PID_1 = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--kill-child']
export const WITHOUT_NAMESPACES =
  process.env.CI === undefined && spawnSync(PID_1[0]!, [...PID_1.slice(1), 'true']).status !== 0
    ? 'no process namespaces here'
    : false

function compiledStart(): string {
  const { start } = (JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { start: string } })
    .scripts
  const directory = folder()
  const script = start.replace(
    'node --import tsx example-app/server.ts',
    NODE.map((part) => `'${part}'`).join(' ')
  )
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ scripts: { start: script } }))
  return directory
}

/** The example application in its own process, with one live call. */
export interface Started {
  /** the process that the test started: npm, node or unshare */
  child: ChildProcess
  output(): string
  socket: WebSocket
  /** resolves to the names of the WAV files in the application's recordings folder */
  wavs(): Promise<string[]>
  /** resolves to true if no process listens at the application's port */
  isGone(): Promise<boolean>
}

export async function start(
  t: Test,
  [command = '', ...args]: string[],
  drainSeconds: number
): Promise<Started> {
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

/** Checks that the process ends properly: its exit code is 0, and its only recording is complete. */
export async function endsInOrder(t: Test, { child, output, wavs, isGone }: Started): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  t.same([child.exitCode, child.signalCode], [0, null], output())
  await until(isGone, "the application's port to be free")
  const names = await wavs()
  t.equal(names.length, 1)
  t.notMatch(names[0], /\.part\./)
}

/** Resolves to the pid, as seen from outside the namespace, of the process that is process 1 inside. */
export async function firstOf({ pid }: ChildProcess): Promise<number> {
  return Number(await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'))
}
