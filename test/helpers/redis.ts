import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'

/** ms in which Redis must start, on a busy machine */
const START_DEADLINE = 60_000
/** the range of freePort() */
const FIRST_PORT = 10_100
const LAST_PORT = 22_000

/**
 * Returns the reason why tests with Redis are skipped, or false if redis-server is installed. In CI they are
 * never skipped, so without the server the tests fail.
 */
export function noRedis(): string | false {
  const missing = spawnSync('redis-server', ['--version']).error !== undefined
  return missing && process.env.CI === undefined && 'redis-server is not installed (apt install redis-server)'
}

/** A redis-server with its own port and folder. Both are removed at the end of the test. */
export class RedisServer {
  readonly port: number
  readonly #folder = mkdtempSync(join(tmpdir(), 'jambonz-redis-'))
  readonly #args: readonly string[]
  readonly #file: readonly string[]
  #process?: ChildProcess

  /** `args`: options on the command line of redis-server; `file`: lines of its configuration file. */
  constructor(port: number, args: readonly string[], file: readonly string[] = []) {
    this.port = port
    this.#args = args
    this.#file = file
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    this.#process = spawn(
      'redis-server',
      [
        ...this.#file,
        '--port',
        String(this.port),
        '--bind',
        '127.0.0.1',
        '--dir',
        this.#folder,
        '--save',
        '',
        ...this.#args
      ],
      { stdio: 'ignore' }
    )
    const failed = once(this.#process, 'error').then(([err]) => {
      throw err
    })
    await Promise.race([failed, accepts(this.port)])
  }

  /** Kills Redis with SIGKILL, which loses unsaved data. */
  async kill(): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  /** Stops the process with SIGSTOP: its connections stay open, but it answers nothing. */
  pause(): void {
    this.#process?.kill('SIGSTOP')
  }

  resume(): void {
    this.#process?.kill('SIGCONT')
  }

  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Starts Redis. `args`: options of redis-server, such as `--maxmemory 2mb`. */
export async function startRedis(t: Test, ...args: string[]): Promise<RedisServer> {
  const server = new RedisServer(await freePort(), args)
  t.teardown(() => server.remove())
  await server.start()
  return server
}

/**
 * Opens a port that leads new connections to the port `target`, which the test may change, as the address of a managed
 * Redis does. Open connections stay as they are.
 */
export async function movableAddress(t: Test, target: number): Promise<{ port: number; target: number }> {
  const open = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(address.target, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near]
    ] as const) {
      open.add(one)
      one.pipe(other)
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
    }
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  await once(server, 'listening')
  const address = { port: (server.address() as AddressInfo).port, target }
  return address
}

/** Starts a sentinel. `file`: its configuration file, which the sentinel also writes to. */
export async function startSentinel(t: Test, file: string): Promise<RedisServer> {
  const server = new RedisServer(await freePort(), ['--sentinel'], [file])
  t.teardown(() => server.remove())
  await server.start()
  return server
}

/**
 * Returns an array that collects each command that clients send from now on, as its name and arguments.
 * Commands that a script calls are left out.
 */
export async function watchCommands(t: Test, { port }: RedisServer): Promise<string[][]> {
  // Does not use MONITOR of ioredis: if a command arrives together with the reply to MONITOR, ioredis takes
  // the command for a reply.
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const lines = createInterface(socket)
  const sent: string[][] = []
  lines.on('line', (line) => {
    const [, source, command] = /^\+[\d.]+ \[\d+ (\S+)\] (.*)$/.exec(line) ?? []
    if (command !== undefined && source !== 'lua') {
      sent.push(
        Array.from(command.matchAll(/"((?:[^"\\]|\\.)*)"/g), ([, arg = '']) =>
          arg.replace(/\\(["\\])/g, '$1')
        )
      )
    }
  })
  const accepted = once(lines, 'line')
  socket.write('MONITOR\r\n')
  await accepted
  return sent
}

/**
 * Resolves to a port on which no process listens. Linux gives no port of this range to a connection or to a server that
 * asks for any port, so while a server of the test is down, no other process takes its port. Redis Cluster also takes
 * the port that is 10,000 higher.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer()
    server.listen(randomInt(FIRST_PORT, LAST_PORT), '127.0.0.1')
    const port = await once(server, 'listening').then(
      () => (server.address() as AddressInfo).port,
      (err: NodeJS.ErrnoException) => {
        if (err.code !== 'EADDRINUSE') throw err
      }
    )
    if (port === undefined) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

async function accepts(port: number): Promise<void> {
  const deadline = Date.now() + START_DEADLINE
  while (!(await answersPing(port))) {
    if (Date.now() > deadline) throw new Error(`redis-server does not answer on port ${port}`)
  }
}

/** Resolves to true if the server answers PING. While it loads its data, it answers with an error instead. */
async function answersPing(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    socket.setTimeout(START_DEADLINE, () => socket.destroy())
    socket.write('PING\r\n')
    // Waits for a close too, because a server that is starting may accept a connection and close it at once.
    const [reply] = (await Promise.race([once(socket, 'data'), once(socket, 'close')])) as [Buffer | boolean]
    return String(reply).startsWith('+PONG')
  } catch {
    return await new Promise((resolve) => setTimeout(resolve, 10, false))
  } finally {
    socket.destroy()
  }
}
