import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Listen } from '../../lib/index.js'
import type { FinishedRecording } from '../../lib/recording/index.js'
import { parseWav, simulateCall, type CallStory, type ListenRecord } from '../../lib/simulator/index.js'
import { folder } from '../helpers/build.js'
import { startCluster, type Cluster, type Seen } from '../helpers/cluster.js'
import { noRedis, startRedis, type RedisServer } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const CALLS = 200
const LIVE_CALLS = 50
/** ms, as long as a busy machine may need */
const PATIENCE = 20_000
/** ms that Redis may be wrong after its return */
const STORE_RIGHT = 5_000
/** problems, at most */
const SHOWN = 5

interface CallsOptions {
  calls: number
  /** ms between the first call and the last */
  overMs: number
  /** ms; then the caller hangs up */
  speechMs: number
  speed: number
}

async function takeCalls (url: string, { calls, overMs, speechMs, speed }: CallsOptions): Promise<CallStory[]> {
  const begin = Date.now()
  return await Promise.all(Array.from({ length: calls }, async (_, i) => {
    await delay(begin + i * overMs / calls - Date.now())
    return await simulateCall({ url: `${url}/call`, statusHook: '/status', speech: noise(i, speechMs), speed, patienceMs: 20 })
  }))
}

/** L16 that differs in every call. */
function noise (seed: number, ms: number): { pcm: Int16Array, sampleRate: number } {
  let state = seed + 1
  return { sampleRate: 8000, pcm: Int16Array.from({ length: ms * 8 }, () => (state = (state * 48_271) % 2_147_483_647) % 20_000 - 10_000) }
}

/** The audio of a listen's files, in order. */
function recorded ({ recording }: Listen): Buffer {
  const { location, segments = [{ location }] } = recording as FinishedRecording
  return Buffer.concat(segments.map(({ location }) => {
    const { samples } = parseWav(readFileSync(location))
    return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
  }))
}

function said ({ listens }: CallStory): Buffer {
  return Buffer.concat(listens.map(({ sent }) => sent.pcm ?? Buffer.alloc(0)))
}

function isOpen (listen: ListenRecord | undefined): boolean {
  return listen?.openedAtMs !== undefined && listen.closedAtMs === undefined
}

function listenOf ([hook]: Seen[] = []): Listen | undefined {
  return hook?.report.what === 'hook' ? hook.report.listen : undefined
}

/** What is wrong with the calls, one line each. `endings`: instances that may take a call's end for theirs to tell. */
function problemsOf (stories: CallStory[], cluster: Cluster, from: number, endings = 1): string[] {
  const hooks = cluster.of('hook', from)
  const ended = cluster.of('listenEnded', from)
  const over = cluster.of('callEnded', from)
  return stories.flatMap((story) => {
    const { callSid } = story
    const listen = listenOf(hooks.get(callSid))
    const wrong = [
      // An instance that is going refuses sockets: they are asked for again.
      ...story.errors.filter((error) => !error.includes('refused: ')),
      ...[hooks, ended].flatMap((seen, i) => seen.get(callSid)?.length === 1 ? [] : [`${['hook', 'end of its listen'][i]} seen ${seen.get(callSid)?.length ?? 0} times`]),
      ...((over.get(callSid)?.length ?? 0) <= endings ? [] : [`ended ${over.get(callSid)?.length} times`]),
      ...(listen?.state === 'ended' ? [] : [`its hook came to a listen that was ${listen?.state}`]),
      ...(listen?.recording !== undefined && recorded(listen).equals(said(story)) ? [] : ['recorded something else than was said'])
    ]
    return wrong.map((problem) => `${callSid}: ${problem}`)
  }).slice(0, SHOWN)
}

/** The calls that are not as they should be in Redis, read past any store. */
async function unfinished (redis: Redis, callSids: Iterable<string>): Promise<string[]> {
  const calls = await Promise.all(Array.from(callSids, async (callSid) => {
    const fields = await redis.hgetall(`jambonz:call:{${callSid}}`)
    const values = Object.fromEntries(Object.entries(fields).map(([name, text]) => [name.replace(/^l:.*:/, ''), text.slice(text.indexOf(' ') + 1)]))
    const right = values['c:callStatus'] === '"completed"' && values['c:endedAt'] && values.state === '"ended"' && values.recording && values.hookedAt
    return right ? [] : [`${callSid}: ${values['c:callStatus']} ${values['c:endedAt']} ${values.state} ${values.recording ?? values.recordingError} ${values.hookedAt}`]
  }))
  return calls.flat().slice(0, SHOWN)
}

function sidsOf (stories: CallStory[]): string[] {
  return stories.map(({ callSid }) => callSid)
}

/** Commands that the instances have sent for calls. Redis counts those within scripts: each write reads the call once. */
async function commandsOf (redis: Redis): Promise<number> {
  const stats = await redis.info('commandstats')
  return Array.from(stats.matchAll(/^cmdstat_(hgetall|sadd|srem):calls=(\d+)/gm)).reduce((sum, [, , calls]) => sum + Number(calls), 0)
}

function clientOf (t: Test, { url }: RedisServer): Redis {
  const client = new Redis(url)
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

t.test('three instances behind a round-robin', { skip: noRedis(), timeout: 120_000 }, async (t) => {
  const server = await startRedis(t)
  const redis = clientOf(t, server)
  const { cluster, url } = await startCluster(t, 3, server.url, folder())

  t.test(`${CALLS} calls whose webhook, socket and hook are spread over them are all correlated, none twice`, async (t) => {
    const before = await commandsOf(redis)
    const stories = await takeCalls(url, { calls: CALLS, overMs: 1_500, speechMs: 400, speed: Infinity })
    t.strictSame(problemsOf(stories, cluster, 0), [])
    const spread = stories.filter(({ callSid }) => new Set(cluster.seen.filter(({ report }) => report.callSid === callSid && ['webhook', 'stream', 'hook'].includes(report.what)).map(({ instance }) => instance)).size === 3)
    t.ok(spread.length > 10, `${spread.length} of them had each of the three on another instance`)
    const commands = (await commandsOf(redis) - before) / CALLS
    t.ok(commands < 25, `${commands.toFixed(1)} Redis commands per call`)
    t.strictSame(await unfinished(redis, sidsOf(stories)), [])
  })

  t.test('the same with Redis killed in the middle, and back with nothing', async (t) => {
    const from = cluster.seen.length
    const calls = takeCalls(url, { calls: CALLS, overMs: 2_500, speechMs: 500, speed: 1 })
    await until(() => cluster.of('webhook', from).size > CALLS * 0.3, 'calls that begin with Redis', PATIENCE)
    await server.kill()
    await until(() => cluster.of('webhook', from).size > CALLS * 0.6, 'calls that begin without', PATIENCE)
    const over = cluster.of('callEnded', from)
    await server.start()
    const back = Date.now()
    await until(async () => (await unfinished(redis, over.keys())).length === 0, 'Redis to be right', STORE_RIGHT)
    t.comment(`Redis was right ${Date.now() - back} ms after its return, about ${over.size} calls that had ended by then`)
    const stories = await calls
    t.strictSame(stories.filter(({ requests }) => requests.some(({ status }) => status !== 200 && status !== 204)).map(({ callSid }) => callSid), [], 'no call was refused')
    // Each instance that was told of a call's end while nobody could be asked has told of it.
    t.strictSame(problemsOf(stories, cluster, from, 3), [])
    t.strictSame(await unfinished(redis, sidsOf(stories)), [])
  })

  t.test('the same with one instance killed -9: its listens are lost, once, and their hooks are answered', async (t) => {
    const from = cluster.seen.length
    const calls = takeCalls(url, { calls: LIVE_CALLS, overMs: 300, speechMs: 2_500, speed: 1 })
    await until(() => cluster.of('stream', from).size === LIVE_CALLS, 'all to be live', PATIENCE)
    const at = Date.now()
    await cluster.end(0, 'SIGKILL')
    await cluster.add()
    const stories = await calls
    const took = Date.now() - at
    const hooks = cluster.of('hook', from)
    const [lost, kept] = [stories.filter(({ callSid }) => listenOf(hooks.get(callSid))?.endReason === 'lost'), stories.filter(({ callSid }) => listenOf(hooks.get(callSid))?.endReason !== 'lost')]
    t.ok(lost.length > LIVE_CALLS / 10, `${lost.length} were lost`)
    t.strictSame(problemsOf(kept, cluster, from), [], 'the others never noticed')
    for (const { callSid } of lost) {
      t.equal(hooks.get(callSid)?.length, 1)
      t.equal(cluster.of('listenEnded', from).get(callSid)?.length, 1)
    }
    t.comment(`${lost.length} of ${LIVE_CALLS} calls were lost; all were over ${took} ms after the kill`)
  })

  t.test(`${LIVE_CALLS} live calls outlast a rolling restart: each is interrupted for less than a second`, async (t) => {
    const from = cluster.seen.length
    const old = cluster.living
    const next = await Promise.all(old.map(() => cluster.spare()))
    const calls = Array.from({ length: LIVE_CALLS }, (_, i) => simulateCall({ url: `${url}/call`, statusHook: '/status', speech: noise(i, 60_000), speed: 1 }))
    await until(() => cluster.of('stream', from).size === LIVE_CALLS, 'all to be live', PATIENCE)
    for (const [i, instance] of old.entries()) {
      cluster.enter(next[i]!)
      await cluster.end(instance, 'SIGTERM')
    }
    await until(() => calls.every(({ listens }) => isOpen(listens.at(-1))), 'the last of them to be live again', PATIENCE)
    for (const call of calls) call.hangUp()
    const stories = await Promise.all(calls)
    // jambonz keeps the audio from the start of a listen until its socket is open.
    const gaps = stories.flatMap(({ listens }) => {
      const opened = listens.filter(({ openedAtMs }) => openedAtMs !== undefined)
      return opened.slice(1).map(({ startedAtMs }, i) => startedAtMs - (opened[i]?.closedAtMs ?? 0))
    })
    const refused = stories.flatMap(({ listens }) => listens.filter(({ refused }) => refused))
    t.strictSame(problemsOf(stories, cluster, from), [])
    t.ok(gaps.length >= LIVE_CALLS && Math.max(...gaps) < 1_000)
    t.comment(`${gaps.length} handovers of ${LIVE_CALLS} calls, ${refused.length} of them at the second try or later; gap ${Math.round(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length)} ms on average, ${Math.round(Math.max(...gaps))} ms at most`)
  })
})
