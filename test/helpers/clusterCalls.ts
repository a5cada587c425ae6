import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Listen } from '../../lib/index.js'
import type { FinishedRecording } from '../../lib/model/recording.js'
import {
  parseWav,
  simulateCall,
  type CallStory,
  type ListenRecord,
  type SimulatedCall
} from '../../lib/simulator/index.js'
import type { Cluster, Seen } from './cluster.js'
import { until } from './until.js'

/** maximum number of problems to report */
const SHOWN = 5
/** ms that a probe waits on a machine that is too busy to end a listen, its recording and its writes within 5 s */
const BUSY = 500

export interface CallsOptions {
  calls: number
  /** ms between the start of the first call and that of the last */
  overMs: number
  /** ms of speech, after which the caller hangs up */
  speechMs: number
  speed: number
  /** transports over which jambonz asks, for each call; `http` by default */
  transports?: ReadonlyArray<'http' | 'websocket'>
  /** fragment of the webhook's url, which says what jambonz retries; default: nothing over HTTP */
  retry?: string
}

/** Makes calls that end by themselves. Resolves to their stories. */
export async function takeCalls(
  url: string,
  { calls, overMs, speechMs, speed, transports = [], retry = '' }: CallsOptions
): Promise<CallStory[]> {
  const begin = Date.now()
  return await Promise.all(
    Array.from({ length: calls }, async (_, i) => {
      await delay(begin + (i * overMs) / calls - Date.now())
      return await simulateCall({
        url: `${transports[i] === 'websocket' ? url.replace(/^http/, 'ws') : url}/call${retry}`,
        statusHook: '/status',
        speech: noise(i, speechMs),
        speed,
        patienceMs: 20
      })
    })
  )
}

/** Starts calls that last until `hangUp()`. */
export function openCalls(url: string, calls: number): SimulatedCall[] {
  return Array.from({ length: calls }, (_, i) =>
    simulateCall({ url: `${url}/call`, statusHook: '/status', speech: noise(i, 60_000), speed: 1 })
  )
}

/** Returns noise as L16 audio that differs in every call. */
export function noise(seed: number, ms: number): { pcm: Int16Array; sampleRate: number } {
  const pcm = new Int16Array(ms * 8)
  let state = seed + 1
  for (let at = 0; at < pcm.length; at++) {
    state = (state * 48_271) % 2_147_483_647
    pcm[at] = (state % 20_000) - 10_000
  }
  return { sampleRate: 8000, pcm }
}

export function isOpen(listen: ListenRecord | undefined): boolean {
  return listen?.openedAtMs !== undefined && listen.closedAtMs === undefined
}

/** Returns the listen of a report: what a hook's handler got, or what `listenEnded` emitted. */
export function listenOf([hook]: Seen[] = []): Listen | undefined {
  return hook && 'listen' in hook.report ? hook.report.listen : undefined
}

export function sidsOf(stories: readonly CallStory[]): string[] {
  return stories.map(({ callSid }) => callSid)
}

/**
 * Waits until the hook and the end of each listen and call were reported, then resolves to the problems, one line each.
 * `endings`: number of instances that may emit `callEnded` for the same call.
 */
export async function problemsOf(
  stories: readonly CallStory[],
  cluster: Cluster,
  from: number,
  endings = 1
): Promise<string[]> {
  const isTold = (): boolean =>
    (['hook', 'listenEnded'] as const).every((what) => {
      const told = cluster.of(what, from)
      return stories.every(({ callSid }) => told.has(callSid))
    })
  // A report that never comes is found as a problem below.
  await until(isTold, 'the last to be told').catch(() => {})
  const hooks = cluster.of('hook', from)
  const ended = cluster.of('listenEnded', from)
  const over = cluster.of('callEnded', from)
  return stories
    .flatMap((story) => {
      const { callSid } = story
      const listen = listenOf(hooks.get(callSid))
      // A hook is answered after 5 s at the latest, even if its listen has not ended. On a busy machine that is no
      // problem.
      const isWhole = listen?.state === 'ended'
      const wrong = [
        // An instance that drains refuses sockets, and jambonz then asks for the listen again. That is no problem.
        ...story.errors.filter((error) => !error.includes('refused: ')),
        ...[hooks, ended].flatMap((seen, i) =>
          seen.get(callSid)?.length === 1
            ? []
            : [`${['hook', 'end of its listen'][i]} seen ${seen.get(callSid)?.length ?? 0} times`]
        ),
        ...((over.get(callSid)?.length ?? 0) <= endings ? [] : [`ended ${over.get(callSid)?.length} times`]),
        ...(isWhole || cluster.lateMs > BUSY ? [] : [`its hook came to a listen that was ${listen?.state}`]),
        ...otherwiseRecorded(story, isWhole ? listen : listenOf(ended.get(callSid)))
      ]
      return wrong.map((problem) => `${callSid}: ${problem}`)
    })
    .slice(0, SHOWN)
}

/** Returns how the recording of the listen differs from what the caller said. */
export function otherwiseRecorded(story: CallStory, listen: Listen | undefined): string[] {
  if (listen?.recording === undefined) {
    return [`recorded nothing: ${listen?.recordingError ?? 'no reason given'}`]
  }
  const [files, sockets] = [recorded(listen), said(story)]
  if (Buffer.concat(files).equals(Buffer.concat(sockets))) return []
  const [has, had] = [files, sockets].map((parts) => parts.map(({ length }) => length).join(' + '))
  return [`recorded something else than was said: ${has} bytes, not ${had}`]
}

/** Returns the audio of the listen's files, in order. */
function recorded({ recording }: Listen): Buffer[] {
  const { location, segments = [{ location }] } = recording as FinishedRecording
  return segments.map(({ location }) => {
    const { samples } = parseWav(readFileSync(location))
    return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
  })
}

/** Returns the audio that was sent on each of the call's sockets. */
function said({ listens }: CallStory): Buffer[] {
  return listens.flatMap(({ sent }) => sent.pcm ?? [])
}

/** Resolves to the calls whose end is incomplete in Redis. Reads Redis without a store. */
export async function unfinished(redis: Redis, callSids: Iterable<string>): Promise<string[]> {
  const calls = await Promise.all(
    Array.from(callSids, async (callSid) => {
      const fields = await redis.hgetall(`jambonz:call:{${callSid}}`)
      const values = Object.fromEntries(
        Object.entries(fields).map(([name, text]) => [
          name.replace(/^l:.*:/, ''),
          text.slice(text.indexOf(' ') + 1)
        ])
      )
      const right =
        values['c:callStatus'] === '"completed"' &&
        values['c:endedAt'] &&
        values.state === '"ended"' &&
        values.recording &&
        values.hookedAt
      return right
        ? []
        : [
            `${callSid}: ${values['c:callStatus']} ${values['c:endedAt']} ${values.state} ${values.recording ?? values.recordingError} ${values.hookedAt}`
          ]
    })
  )
  return calls.flat().slice(0, SHOWN)
}

export interface Gap {
  /** length of the gap in ms, on the simulator's clock */
  ms: number
  /** number of sockets that were refused during the gap */
  refused: number
}

/**
 * Returns the gaps between the sockets of each call. A gap ends where the next listen starts: jambonz buffers the audio
 * from there until the socket is open.
 */
export function gapsOf(stories: readonly CallStory[]): Gap[] {
  return stories.flatMap(({ listens }) => {
    const gaps: Gap[] = []
    let closedAt: number | undefined
    let refused = 0
    for (const { startedAtMs, openedAtMs, closedAtMs } of listens) {
      if (openedAtMs === undefined) {
        refused++
        continue
      }
      if (closedAt !== undefined) gaps.push({ ms: startedAtMs - closedAt, refused })
      closedAt = closedAtMs
      refused = 0
    }
    return gaps
  })
}
