import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { folder } from './build.js'
import {
  secretsFound,
  secretsSent,
  seededRandom,
  takeChaosCall,
  toldOfSecret,
  type ChaosCall,
  type Random
} from './chaosCalls.js'
import { startChaosInstances, type ChaosInstances } from './chaosInstances.js'
import { FULL } from './chaosHandlers.js'
import { startRedis, type RedisServer } from './redis.js'
import { until } from './until.js'

const INSTANCES = 3
/**
 * ms to wait for the end of the last call. A listen that was handed over waits up to 15 s for its next
 * socket.
 */
const PATIENCE = 120_000
const HOUR = 3_600_000

export interface ChaosOptions {
  calls: number
  /** calls at the same time */
  atOnce: number
  seed: number
}

/** The results of a run. */
export interface ChaosCounts {
  calls: ChaosCall[]
  instances: ChaosInstances
  /** calls with a request that was refused or not answered, one line each */
  unanswered: string[]
  /** calls with a listen whose end was never reported, one line each */
  lost: string[]
  secrets: { sent: number; found: number; inTheOpen: number; neverAnnounced: number }
  leaks: string[]
  redisDeaths: number
  jumps: number
  strangers: number
}

/** Runs calls while instances, Redis, clocks, disks and networks fail at the same time. */
export async function runChaos(t: Test, { calls, atOnce, seed }: ChaosOptions): Promise<ChaosCounts> {
  const random = seededRandom(seed)
  const server = await startRedis(t)
  const [directory, taken] = [folder(), folder()]
  fillDisk(t, join(directory, FULL))
  const { instances, url } = await startChaosInstances(INSTANCES, server.url, directory, taken)
  t.teardown(() => instances.close())

  const over = new AbortController()
  const counts = { redisDeaths: 0, jumps: 0, strangers: 0 }
  const havoc = [
    often(over.signal, 6_000, async () => {
      await instances.replace(Math.floor(random() * INSTANCES), random() < 0.5 ? 'SIGKILL' : 'SIGTERM')
    }),
    often(over.signal, 10_000, async () => {
      await breakRedis(server, random)
      counts.redisDeaths++
    }),
    often(over.signal, 1_500, async () => {
      instances.jumpClock(Math.floor(random() * INSTANCES), (random() - 0.5) * 2 * HOUR)
      counts.jumps++
    }),
    often(over.signal, 100, async () => {
      await comeAsStranger(url, server, random)
      counts.strangers++
    })
  ]
  const taking: ChaosCall[] = []
  let begun = 0
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (begun < calls) {
        const number = begun++
        taking.push(await takeChaosCall(url, seededRandom(seed + number)))
      }
    })
  )
  over.abort()
  await Promise.all(havoc)
  const isTold = ({ callSid }: ChaosCall): boolean =>
    instances.ends.has(callSid) || isAnswered(instances.hooks, callSid)
  const asked = taking.filter(({ story }) => story.listens.length > 0)
  await until(() => asked.every(isTold), 'the end of each call to be reported', PATIENCE).catch(() => {})
  await instances.askFigures()

  const lost = asked.filter((call) => !isTold(call))
  const kept = await keptOf(server, lost)
  const told = taking.filter(({ isPrivate, story }) => isPrivate && toldOfSecret(story))
  const found = await secretsFound(
    taking.map(({ callSid }) => callSid),
    [directory, taken]
  )
  const leaks = told.filter(({ callSid }) => found.has(callSid))
  return {
    ...counts,
    calls: taking,
    instances,
    unanswered: taking.flatMap((call) => unanswered(call, instances.endedAt)),
    lost: lost.map(
      (call, i) =>
        `${describe(call)}, hooks saw ${JSON.stringify(instances.hooks.get(call.callSid))}, Redis has ${kept[i]}`
    ),
    secrets: {
      sent: told.reduce((sum, call) => sum + secretsSent(call), 0),
      found: leaks.reduce((sum, { callSid }) => sum + (found.get(callSid) ?? 0), 0),
      inTheOpen: taking.reduce(
        (sum, { isOpen, callSid }) => sum + (isOpen ? (found.get(callSid) ?? 0) : 0),
        0
      ),
      neverAnnounced: taking.filter(({ isPrivate, story }) => isPrivate && !toldOfSecret(story)).length
    },
    leaks: leaks.map((call) => `${describe(call)}: ${found.get(call.callSid)} bytes`)
  }
}

/**
 * Returns true if the hook's handler ran with an ended listen, or without a listen. It runs without a listen
 * if Redis has lost the call and the instances that knew the call have ended.
 */
function isAnswered(hooks: ChaosInstances['hooks'], callSid: string): boolean {
  return hooks.has(callSid) && (hooks.get(callSid)?.state ?? 'ended') === 'ended'
}

/** Resolves to the data that Redis holds of each call, as JSON. */
async function keptOf(server: RedisServer, calls: readonly ChaosCall[]): Promise<string[]> {
  const redis = new Redis(server.url)
  try {
    return await Promise.all(
      calls.map(async ({ callSid }) => {
        const keys = await redis.keys(`*call*${callSid}*`)
        return JSON.stringify(await Promise.all(keys.map((key) => redis.hgetall(key))))
      })
    )
  } finally {
    redis.disconnect()
  }
}

/** Calls the function every `ms` ms until the signal aborts. */
async function often(signal: AbortSignal, ms: number, what: () => Promise<void>): Promise<void> {
  for (;;) {
    await delay(ms, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    await what()
  }
}

/**
 * Mounts a disk of only 256 KiB at `path`, so that it fills up. If the process may not mount, a file where a
 * folder should be makes the recordings fail instead.
 */
function fillDisk(t: Test, path: string): void {
  mkdirSync(path)
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', path])
  if (status === 0) t.teardown(() => spawnSync('umount', ['-l', path]))
  else writeFileSync(join(path, 'no disk of its own'), '')
}

/** Stops Redis for a second, or kills it and restarts it empty. */
async function breakRedis(server: RedisServer, random: Random): Promise<void> {
  const ms = 500 + random() * 1_000
  if (random() < 0.4) {
    server.pause()
    await delay(ms)
    server.resume()
  } else {
    await server.kill()
    await delay(ms)
    await server.start()
  }
}

const JSON_HEADERS = { 'content-type': 'application/json' }

/** Sends the requests that an attacker might send. */
async function comeAsStranger(url: string, server: RedisServer, random: Random): Promise<void> {
  const body = JSON.stringify({ call_sid: `stranger-${random()}` })
  const tries: Array<() => Promise<unknown>> = [
    () => fetch(`${url}/call`, { method: 'POST', headers: JSON_HEADERS, body }),
    () => fetch(`${url}/done?listen=${random()}&key=x`),
    () => fetch(`${url}/done?listen=x`, { method: 'POST', headers: JSON_HEADERS, body: '{' }),
    () =>
      sendRaw(
        url,
        'GET /audio/0/x.y HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'
      ),
    () =>
      sendRaw(url, `GET /audio/%zz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`),
    () => sendRaw(url, '\0\r\n\r\n'),
    async () => {
      const redis = new Redis(server.url, { lazyConnect: true, retryStrategy: () => null })
      redis.on('error', () => {})
      await redis.publish('chaos:events', 'not json').finally(() => redis.disconnect())
    }
  ]
  await tries[Math.floor(random() * tries.length)]!().catch(() => {})
}

function sendRaw(url: string, text: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(text))
    socket.setTimeout(1_000, () => socket.destroy())
    socket.on('error', () => {}).on('close', () => resolve())
    socket.resume()
  })
}

/**
 * Returns the requests that were refused or not answered, one line each. It leaves out a request whose
 * instance was told to end while it handled the request, because the next instance can't answer that request.
 */
function unanswered(call: ChaosCall, endedAt: readonly number[]): string[] {
  return call.story.requests
    .filter(({ status, atMs, latencyMs }) => {
      const from = call.begunAt + atMs
      const wasCutOff = endedAt.some((at) => at >= from && at <= from + latencyMs)
      return status === undefined ? !wasCutOff : status >= 300
    })
    .map(({ kind, status, error, body }) => `${describe(call)}: ${kind} ${status ?? error} ${body ?? ''}`)
}

function describe({ callSid, handler, faults, story }: ChaosCall): string {
  const listens = story.listens.map(({ refused, closedBy, closeCode }) =>
    refused ? `refused ${refused.status}` : `closed ${closedBy} ${closeCode}`
  )
  const requests = story.requests.map(({ kind, status, error }) => `${kind} ${status ?? error}`)
  return `${callSid} (${handler}; ${JSON.stringify(faults)}; ${listens.join(', ')}; ${requests.join(', ')})`
}
