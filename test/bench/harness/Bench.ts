import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { HttpMethods } from '../load/http.js'
import type { LoadMethods } from '../load/main.js'
import type { SessionMethods } from '../load/sessions.js'
import type { ServerMethods } from '../server/main.js'
import type { ServerOptions } from '../server/types.js'
import { LOAD_CORE, Process, SERVER_CORE } from './Process.js'
import type { Remote } from './rpc.js'

/** Starts and ends the processes of the benchmark. */
export class Bench {
  readonly #argv: (entry: string) => string[]
  readonly #serverArgs: readonly string[]
  readonly #processes = new Set<Process<unknown>>()

  /**
   * `argv`: returns the arguments with which node runs `test/bench/<entry>`. `serverArgs`: options of node
   * for servers.
   */
  constructor(argv: (entry: string) => string[], serverArgs: readonly string[] = []) {
    this.#argv = argv
    this.#serverArgs = serverArgs
  }

  /** Starts the load generator for calls with audio. */
  async load(): Promise<Remote<LoadMethods>> {
    return await this.#start<LoadMethods>('load/main.ts', LOAD_CORE)
  }

  /** Starts the load generator for webhooks. */
  async http(): Promise<Remote<HttpMethods>> {
    return await this.#start<HttpMethods>('load/http.ts', LOAD_CORE)
  }

  /** Starts the load generator for calls without audio, over HTTP and over application websockets. */
  async sessions(): Promise<Remote<SessionMethods>> {
    return await this.#start<SessionMethods>('load/sessions.ts', LOAD_CORE)
  }

  /**
   * Starts a server in its own process, with a folder for its recordings, and calls `use`. Then ends the
   * server and deletes the folder.
   */
  async withServer<T>(
    options: Omit<ServerOptions, 'directory'>,
    use: (server: Remote<ServerMethods>, port: number) => Promise<T>
  ): Promise<T> {
    if (options.redisPort !== undefined) await forget(options.redisPort)
    const directory = mkdtempSync(join(tmpdir(), 'jambonz-bench-'))
    const process = new Process<ServerMethods>(
      ['--expose-gc', ...this.#serverArgs, ...this.#argv('server/main.ts')],
      SERVER_CORE
    )
    this.#processes.add(process)
    try {
      await process.remote.ready
      const port = await process.remote.ask('serve', { ...options, directory })
      return await use(process.remote, port)
    } finally {
      this.#processes.delete(process)
      await process.stop()
      rmSync(directory, { recursive: true, force: true })
    }
  }

  async stop(): Promise<void> {
    await Promise.all(Array.from(this.#processes, (process) => process.stop()))
  }

  async #start<M>(entry: string, core: number): Promise<Remote<M>> {
    const process = new Process<M>(this.#argv(entry), core)
    this.#processes.add(process as Process<unknown>)
    await process.remote.ready
    return process.remote
  }
}

/**
 * Deletes the calls of an earlier run from Redis, because the calls of the next run have the same callSids.
 */
async function forget(redisPort: number): Promise<void> {
  const redis = new Redis(redisPort)
  await redis.flushall()
  redis.disconnect()
}
