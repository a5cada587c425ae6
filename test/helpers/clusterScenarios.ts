import { loadavg } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import type { CallStory } from '../../lib/simulator/index.js'
import { folder } from './build.js'
import { startCluster, type Cluster } from './cluster.js'
import { Lateness } from './Lateness.js'
import {
  gapsOf,
  isOpen,
  listenOf,
  openCalls,
  problemsOf,
  sidsOf,
  takeCalls,
  unfinished,
  type Gap
} from './clusterCalls.js'
import { startRedis, watchCommands, type RedisServer } from './redis.js'
import { until } from './until.js'

const INSTANCES = 3
/** ms to wait for an event; long enough for a busy machine */
const PATIENCE = 120_000
/** ms after the restart of Redis within which the instances must have stored the current state again */
const STORE_RIGHT = 5_000
/**
 * ms after a kill within which the others declare the instance's listens lost: three missed heartbeats, and
 * one more until they check
 */
const LOST_WITHIN = 4_000
/** ms by which messages and timers may be late on a busy machine */
const LATE = 1_000
/**
 * Maximum number of Redis commands per call. These calls need more than usual, because each has two more
 * status events, and a hook that waits long reads its listen more than once.
 */
const MAX_COMMANDS = 15
/** ms between two reads of a listen for which a hook waits; on a busy machine a hook may wait that long */
const READ_EVERY = 1_000
/**
 * ms for which Redis may be away in a test. A hook waits 5 s for the end of its listen, and another instance can't
 * report this end while Redis is away.
 */
const LONGEST_OUTAGE = 2_500
/** number of calls with which an outage is short even on a busy machine */
const FEW_CALLS = 6
/** close code of a socket that broke without a close frame */
const BROKEN = 1006
/** close code of the application websockets of an instance that stops */
const RESTART = 1012
const CALL_SID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/

export interface Scene {
  server: RedisServer
  /** client with which a test reads Redis without a store */
  redis: Redis
  cluster: Cluster
  /** address of the load balancer */
  url: string
}

/**
 * Starts three instances behind a round-robin load balancer, with one Redis. Each instance and the load
 * balancer have their own process.
 */
export async function setUp(t: Test): Promise<Scene> {
  const server = await startRedis(t)
  const redis = new Redis(server.url)
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  return { server, redis, ...(await startCluster(t, INSTANCES, server.url, folder())) }
}

export async function spread(t: Test, { server, redis, cluster, url }: Scene, calls: number): Promise<void> {
  const sent = await watchCommands(t, server)
  const stories = await takeCalls(url, { calls, overMs: calls * 7.5, speechMs: 400, speed: Infinity })
  t.strictSame(await problemsOf(stories, cluster, 0), [])
  const spread = stories.filter(
    ({ callSid }) =>
      new Set(
        cluster.seen
          .filter(
            ({ report }) => report.callSid === callSid && ['webhook', 'stream', 'hook'].includes(report.what)
          )
          .map(({ instance }) => instance)
      ).size === INSTANCES
  )
  t.ok(
    spread.length > calls / 20,
    `the webhook, socket and hook of ${spread.length} calls reached three instances`
  )
  const commands = sent.filter((args) => args.some((arg) => CALL_SID.test(arg))).length / calls
  t.strictSame(await unfinished(redis, sidsOf(stories)), [])
  const waits = stories.flatMap(({ requests }) =>
    requests.filter(({ kind }) => kind === 'hook').map(({ latencyMs }) => Math.floor(latencyMs / READ_EVERY))
  )
  const reads = waits.reduce((sum, count) => sum + count, 0) / calls
  t.ok(commands <= MAX_COMMANDS + reads, `${commands.toFixed(1)} Redis commands per call`)
  t.comment(`${commands.toFixed(1)} Redis commands per call`)
}

export async function redisDies(
  t: Test,
  { server, redis, cluster, url }: Scene,
  calls: number
): Promise<void> {
  const from = cluster.seen.length
  const taken = takeCalls(url, { calls, overMs: calls * 12.5, speechMs: 500, speed: 1 })
  await until(
    () => cluster.of('webhook', from).size > calls * 0.3,
    'calls that begin while Redis runs',
    PATIENCE
  )
  await server.kill()
  const died = Date.now()
  await until(
    () => cluster.of('webhook', from).size > calls * 0.6,
    'calls that begin while Redis is down',
    PATIENCE
  )
  const over = cluster.of('callEnded', from)
  await server.start()
  const back = Date.now()
  if (back - died > LONGEST_OUTAGE && calls > FEW_CALLS) {
    // The calls kept this machine busy. Fewer calls prove the same.
    await taken
    return await redisDies(t, { server, redis, cluster, url }, Math.max(FEW_CALLS, Math.floor(calls / 3)))
  }
  await until(
    async () => (await unfinished(redis, over.keys())).length === 0,
    'Redis to have the end of each call',
    STORE_RIGHT
  )
  t.comment(
    `${Date.now() - back} ms after its return, Redis had the end of all ${over.size} calls that had ended`
  )
  const stories = await taken
  t.strictSame(
    stories
      .filter(({ requests }) => requests.some(({ status }) => status !== 200 && status !== 204))
      .map(({ callSid }) => callSid),
    [],
    'no call was refused'
  )
  // Several instances may emit callEnded for a call: each one that was told of the end while Redis was down,
  // because it could not know of the others.
  t.strictSame(await problemsOf(stories, cluster, from, INSTANCES), [])
  t.strictSame(await unfinished(redis, sidsOf(stories)), [])
}

export async function instanceDies(t: Test, { cluster, url }: Scene, calls: number): Promise<void> {
  const from = cluster.seen.length
  const taken = takeCalls(url, { calls, overMs: 300, speechMs: 2_500, speed: 1 })
  await until(() => cluster.of('stream', from).size === calls, 'all calls to be live', PATIENCE)
  const killed = performance.now()
  await cluster.end(cluster.living[0] ?? 0, 'SIGKILL')
  await cluster.add()
  const stories = await taken
  const hooks = cluster.of('hook', from)
  const ends = cluster.of('listenEnded', from)
  const isLost = (callSid: string): boolean => listenOf(hooks.get(callSid))?.endReason === 'lost'
  const lost = sidsOf(stories).filter(isLost)
  t.ok(lost.length > calls / 10, `${lost.length} were lost`)
  t.strictSame(
    await problemsOf(
      stories.filter(({ callSid }) => !isLost(callSid)),
      cluster,
      from
    ),
    [],
    'the other calls have no problem'
  )
  t.strictSame(
    lost.filter((callSid) => hooks.get(callSid)?.length !== 1 || ends.get(callSid)?.length !== 1),
    [],
    'each lost call has one hook and one end'
  )
  const last = Math.max(...lost.map((callSid) => (ends.get(callSid)?.[0]?.at ?? Infinity) - killed))
  t.ok(last < LOST_WITHIN + LATE, `the last listen was declared lost ${Math.round(last)} ms after the kill`)
  t.comment(`${lost.length} of ${calls} calls were lost, the last ${Math.round(last)} ms after the kill`)
}

/** Makes calls over HTTP and websockets. Meanwhile one instance is killed -9 and another is drained. */
export async function mixedTransports(t: Test, { redis, cluster, url }: Scene, calls: number): Promise<void> {
  const from = cluster.seen.length
  const transports = Array.from({ length: calls }, () => (Math.random() < 0.5 ? 'http' : 'websocket'))
  const taken = takeCalls(url, {
    calls,
    overMs: calls * 100,
    speechMs: 1_500,
    speed: 1,
    transports,
    retry: '#rc=5&rp=all'
  })
  const [killed = 0, drained = 0] = cluster.living
  await until(() => cluster.of('hook', from).size > calls * 0.3, '30 % of the hooks', PATIENCE)
  await cluster.end(killed, 'SIGKILL')
  await cluster.add()
  const begun = new Set(cluster.of('webhook', from).keys())
  await until(() => cluster.of('hook', from).size > calls * 0.6, '60 % of the hooks', PATIENCE)
  await cluster.add()
  cluster.leave(drained)
  await cluster.end(drained, 'SIGTERM')

  const stories = await taken
  const hooks = cluster.of('hook', from)
  const ends = cluster.of('listenEnded', from)
  const isHeld = (story: CallStory): boolean =>
    begun.has(story.callSid) && (isBroken(story) || listenOf(ends.get(story.callSid))?.endReason === 'lost')
  const held = stories.filter(isHeld)
  const others = stories.filter((story) => !isHeld(story))
  const crossed = others.filter(hasHookCrossedClose)
  t.strictSame(
    await problemsOf(
      others.map((story) => (crossed.includes(story) ? withoutGivenUpHook(story) : story)),
      cluster,
      from
    ),
    [],
    'calls not on the killed instance are recorded, and their hooks answered'
  )
  t.strictSame(await unfinished(redis, sidsOf(others)), [])

  t.strictSame(
    held.filter(({ callSid }) => ends.get(callSid)?.length !== 1).map(({ callSid }) => callSid),
    [],
    'the end of each listen on the killed instance is reported once'
  )
  t.strictSame(
    held
      .filter((story) => (hooks.get(story.callSid)?.length ?? 0) !== (wasHookGivenUp(story) ? 0 : 1))
      .map(({ callSid }) => callSid),
    [],
    'the hook of each such listen is answered once, unless jambonz abandoned it'
  )
  t.ok(held.length > 0, `${held.length} calls were on the killed instance`)
  const again = stories.filter(({ applicationSockets }) => applicationSockets.length > 1)
  t.ok(again.length > 0, `${again.length} calls reconnected to another instance`)
  t.comment(
    `${transports.filter((transport) => transport === 'websocket').length} of ${calls} calls over a websocket, ${again.length} reconnected; ${held.length} on the killed instance, of which ${held.filter(wasHookGivenUp).length} had sent it their hook; ${crossed.length} hooks crossed the close of the drained instance`
  )
}

/**
 * Returns true if jambonz abandoned the hook. It does so if the websocket on which it sent the hook breaks.
 */
function wasHookGivenUp({ requests }: CallStory): boolean {
  return requests.some(({ type, error }) => type === 'verb:hook' && error?.startsWith('abandoned') === true)
}

/**
 * Returns true if jambonz sent a hook while the close of the drained instance was on its way. jambonz abandons such a
 * hook, which no server can prevent. The hook must be handled all the same, once.
 */
function hasHookCrossedClose(story: CallStory): boolean {
  return wasHookGivenUp(story) && story.applicationSockets.some(({ closeCode }) => closeCode === RESTART)
}

function withoutGivenUpHook(story: CallStory): CallStory {
  const isGivenUpHook = (error: string): boolean =>
    error.startsWith('verb:hook') && error.includes('abandoned')
  return { ...story, errors: story.errors.filter((error) => !isGivenUpHook(error)) }
}

/** Returns true if a socket of the call broke, or if its instance died while the socket was being opened. */
function isBroken({ applicationSockets, listens, errors }: CallStory): boolean {
  return (
    [...applicationSockets, ...listens].some(({ closeCode }) => closeCode === BROKEN) ||
    errors.some((error) => error.includes('refused: read failed'))
  )
}

/**
 * Replaces all instances one by one during live calls. `told`: the load balancer stops routing to an instance
 * before the instance ends. `maxGap`: longest allowed gap in a call's audio, in ms.
 */
export async function rollingRestart(
  t: Test,
  { cluster, url }: Scene,
  { calls, told, maxGap }: { calls: number; told: boolean; maxGap: number }
): Promise<void> {
  const from = cluster.seen.length
  const old = cluster.living
  const next = await Promise.all(old.map(() => cluster.spare()))
  const live = openCalls(url, calls)
  await until(() => cluster.of('stream', from).size === calls, 'all calls to be live', PATIENCE)
  const load = watchLoad()
  const own = new Lateness(folder())
  t.teardown(() => own.close())
  for (const [i, instance] of old.entries()) {
    cluster.enter(next[i]!)
    if (told) cluster.leave(instance)
    await cluster.end(instance, 'SIGTERM')
  }
  await until(
    () => live.every(({ listens }) => isOpen(listens.at(-1))),
    'the last call to be live again',
    PATIENCE
  )
  t.comment(load())
  for (const call of live) call.hangUp()
  const stories = await Promise.all(live)
  t.strictSame(await problemsOf(stories, cluster, from), [])
  const gaps = gapsOf(stories)
  // For each refused socket, jambonz asks once more, and a busy machine may be late each time. So the limit
  // grows with the number of refusals.
  const late = Math.max(own.worst, cluster.lateMs)
  own.close()
  t.equal(gaps.length >= calls, true, `${gaps.length} handovers`)
  t.strictSame(
    gaps.filter(({ ms, refused }) => ms >= maxGap + late * (refused + 1)),
    [],
    `each gap is below ${maxGap} ms, plus ${Math.round(late)} ms for which the machine was busy`
  )
  for (const [name, some] of [
    ['without a refusal', gaps.filter(({ refused }) => refused === 0)],
    ['after a refusal by a draining instance', gaps.filter(({ refused }) => refused > 0)]
  ] as const) {
    if (some.length > 0) t.comment(`${name}: ${describe(some)}`)
  }
}

function describe(gaps: readonly Gap[]): string {
  const ms = gaps.map(({ ms }) => ms).sort((a, b) => a - b)
  return `${ms.length} handovers, gap ${Math.round(ms.reduce((sum, gap) => sum + gap, 0) / ms.length)} ms on average, ${ms[Math.floor(ms.length * 0.95)]} ms at the 95th percentile, ${ms.at(-1)} ms at most`
}

/**
 * Measures how busy the machine is. It looks at the event loop of this process, because the simulator here
 * measures the gaps. Returns a function that stops measuring and describes the load.
 */
function watchLoad(): () => string {
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const [begun, cpu] = [performance.now(), process.cpuUsage()]
  return () => {
    delay.disable()
    const { user, system } = process.cpuUsage(cpu)
    const ms = (ns: number): number => Math.round(ns / 1e6)
    return `load average ${loadavg()[0]?.toFixed(1)}; the simulator's event loop was late by ${ms(delay.mean)} ms on average, ${ms(delay.max)} ms at most, and had ${Math.round((user + system) / 10 / (performance.now() - begun))} % of a core`
  }
}
