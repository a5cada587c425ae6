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

/** maximum number of problems to return */
const SHOWN = 5
/**
 * lateness in ms (see Lateness.ts) above which a machine may be too busy to end a listen, with its recording,
 * within 5 s
 */
const BUSY = 500

export interface CallsOptions {
  calls: number
  /** ms from the start of the first call to the start of the last call */
  overMs: number
  /** ms of speech, after which the caller hangs up */
  speechMs: number
  speed: number
  /** transports over which jambonz asks the application, one for each call; default: `http` for all */
  transports?: ReadonlyArray<'http' | 'websocket'>
  /** fragment of the webhook's url, which tells jambonz when to retry; default: no fragment over HTTP */
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

/**
 * Returns the listen in the first report: the handler's listen of a `hook`, or the event's of a
 * `listenEnded`.
 */
export function listenOf([hook]: Seen[] = []): Listen | undefined {
  return hook && 'listen' in hook.report ? hook.report.listen : undefined
}

export function sidsOf(stories: readonly CallStory[]): string[] {
  return stories.map(({ callSid }) => callSid)
}

/**
 * Waits until the hook and the end of each call's listen were reported. Then resolves to the problems that it
 * found, one line each. `endings`: number of instances that may emit `callEnded` for the same call.
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
  // If a report never arrives, the checks below return a problem for it.
  await until(isTold, 'the hook and the end of each listen').catch(() => {})
  const hooks = cluster.of('hook', from)
  const ended = cluster.of('listenEnded', from)
  const over = cluster.of('callEnded', from)
  return stories
    .flatMap((story) => {
      const { callSid } = story
      const listen = listenOf(hooks.get(callSid))
      // A hook is answered after 5 s at the latest, even if its listen has not ended. On a busy machine this
      // is allowed.
      const isWhole = listen?.state === 'ended'
      const wrong = [
        // An instance that drains refuses sockets. jambonz then asks for the listen again, so a refusal is no
        // problem.
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

/** Returns a line if the listen's recording differs from the audio that the caller sent. */
export function otherwiseRecorded(story: CallStory, listen: Listen | undefined): string[] {
  if (listen?.recording === undefined) {
    return [`recorded nothing: ${listen?.recordingError ?? 'no reason given'}`]
  }
  const [files, sockets] = [recorded(listen), said(story)]
  if (Buffer.concat(files).equals(Buffer.concat(sockets))) return []
  const [has, had] = [files, sockets].map((parts) => parts.map(({ length }) => length).join(' + '))
  return [`the recording differs from the sent audio: ${has} bytes, not ${had}`]
}

/** Returns the audio of the listen's files, in the order of its segments. */
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

/**
 * Resolves to the callSids of the calls whose end is not stored completely in Redis. It reads the keys in
 * Redis itself, without a store.
 */
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
  /** length of the gap in ms, on the clock of the simulator */
  ms: number
  /** number of sockets that were refused during the gap */
  refused: number
}

/**
 * Returns the gaps between consecutive sockets of each call. A gap ends when the next listen starts, because
 * from then on jambonz buffers audio until the socket is open.
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
