import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const SERVER = join(import.meta.dirname, '..', 'server.ts')
const LISTENING = /listening at http:\/\/127\.0\.0\.1:(\d+)/

export interface Instance {
  name: string
  port: number
  /** Sends SIGTERM to the process, as Kubernetes does. Resolves when the process has ended. */
  stop(): Promise<void>
}

/** Starts a process of the example application. `env`: its environment variables. */
export async function startInstance(name: string, env: NodeJS.ProcessEnv): Promise<Instance> {
  const child = spawn(process.execPath, ['--import', 'tsx', SERVER], {
    env: { ...process.env, HOST: '127.0.0.1', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const port = await lineOf(child, `instance ${name}`, LISTENING)
  return { name, port: Number(port), stop: () => stop(child, 'SIGTERM') }
}

/** Starts a Redis, which the demo stops at its end. */
export async function startRedis(): Promise<{ url: string; stop: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'jambonz-redis-'))
  const socket = join(folder, 'redis.sock')
  const child = spawn(
    'redis-server',
    ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', ''],
    { stdio: ['ignore', 'pipe', 'inherit'] }
  )
  await lineOf(
    child,
    'redis-server (apt install redis-server, or set REDIS_URL)',
    /(ready to accept connections)/i
  )
  return {
    url: socket,
    async stop() {
      await stop(child, 'SIGTERM')
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/**
 * Waits until the process prints a line that matches the pattern. Resolves to the text of the pattern's
 * group. Rejects if the process ends first.
 */
async function lineOf(child: ChildProcess, name: string, pattern: RegExp): Promise<string> {
  const lines = createInterface(child.stdout!)
  return await new Promise((resolve, reject) => {
    child.once('error', (err) => reject(new Error(`${name} could not be started: ${err.message}`)))
    child.once('exit', (code, signal) => reject(new Error(`${name} ended: ${code ?? signal}`)))
    lines.on('line', (line) => {
      const [, found] = pattern.exec(line) ?? []
      if (found !== undefined) resolve(found)
    })
  })
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}
