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

/** problems, at most */
const SHOWN = 5
/** ms that a machine lets a probe wait which can't end a listen, its recording and its writes within 5 s */
const BUSY = 500

export interface CallsOptions {
  calls: number
  /** ms between the first call and the last */
  overMs: number
  /** ms; then the caller hangs up */
  speechMs: number
  speed: number
  /** how jambonz asks for each call; `http` by default */
  transports?: ReadonlyArray<'http' | 'websocket'>
  /** fragment of the url: what jambonz repeats, by default nothing over HTTP */
  retry?: string
}

/** Calls that end by themselves. */
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

/** Calls that last until they are hung up. */
export function openCalls(url: string, calls: number): SimulatedCall[] {
  return Array.from({ length: calls }, (_, i) =>
    simulateCall({ url: `${url}/call`, statusHook: '/status', speech: noise(i, 60_000), speed: 1 })
  )
}

/** L16 that differs in every call. */
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

/** The listen that a hook's handler saw, or a listener of its end. */
export function listenOf([hook]: Seen[] = []): Listen | undefined {
  return hook && 'listen' in hook.report ? hook.report.listen : undefined
}

export function sidsOf(stories: readonly CallStory[]): string[] {
  return stories.map(({ callSid }) => callSid)
}

/**
 * What is wrong with the calls, one line each, when all has been told of them. `endings`: instances that may take a
 * call's end for theirs to tell.
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
  // What never comes is a problem like any other.
  await until(isTold, 'the last to be told').catch(() => {})
  const hooks = cluster.of('hook', from)
  const ended = cluster.of('listenEnded', from)
  const over = cluster.of('callEnded', from)
  return stories
    .flatMap((story) => {
      const { callSid } = story
      const listen = listenOf(hooks.get(callSid))
      // A hook is answered after 5 s, whatever its listen is then; that is as it should be on a busy machine.
      const isWhole = listen?.state === 'ended'
      const wrong = [
        // An instance that is going refuses sockets: they are asked for again.
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

/** In what the recording of the listen differs from what was said. */
export function otherwiseRecorded(story: CallStory, listen: Listen | undefined): string[] {
  if (listen?.recording === undefined) {
    return [`recorded nothing: ${listen?.recordingError ?? 'no reason given'}`]
  }
  const [files, sockets] = [recorded(listen), said(story)]
  if (Buffer.concat(files).equals(Buffer.concat(sockets))) return []
  const [has, had] = [files, sockets].map((parts) => parts.map(({ length }) => length).join(' + '))
  return [`recorded something else than was said: ${has} bytes, not ${had}`]
}

/** The audio of a listen's files, in order. */
function recorded({ recording }: Listen): Buffer[] {
  const { location, segments = [{ location }] } = recording as FinishedRecording
  return segments.map(({ location }) => {
    const { samples } = parseWav(readFileSync(location))
    return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
  })
}

/** The audio sent on each of the call's sockets. */
function said({ listens }: CallStory): Buffer[] {
  return listens.flatMap(({ sent }) => sent.pcm ?? [])
}

/** The calls that are not as they should be in Redis, read past any store. */
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
  /** ms of the call, on the simulator's clock */
  ms: number
  /** sockets that were refused meanwhile */
  refused: number
}

/** Between the sockets of each call. jambonz keeps the audio from the start of a listen until its socket is open. */
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
