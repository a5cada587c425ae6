import type { CallPatch, ListenPatch, WritePart } from './callWrite.js'
import type { CallFields } from './payloads.js'
import type { AudioCounts, Listen, ListenSegment, StoredListen, OutputEntry } from './schema.js'
import { isoTime } from './time.js'

// The life of a listen: its stages and transitions. docs/listen-life.md has the table. A test tries every event in
// every stage, on each store.

/**
 * The stage of a listen.
 * `unknown`: the store does not have it. `expected`: its verb was answered, and no socket has come. `claimed`: an
 * instance has claimed it for a socket that opens. `streaming`: its audio arrives. `open again`: its socket was closed,
 * and another instance is to take its next socket. `ended`: no more audio arrives.
 */
export type Stage = 'unknown' | 'expected' | 'claimed' | 'streaming' | 'open again' | 'ended'

export type LifeEvent =
  | 'answered'
  | 'claimed'
  | 'released'
  | 'refused'
  | 'streaming'
  | 'handed over'
  | 'closed'
  | 'never came'
  | 'lost'

type Life = { readonly [Event in LifeEvent]: { readonly [From in Stage]?: Stage } }

/**
 * The next stage of a listen, by event and present stage. An event without an entry for the present stage changes
 * nothing. Events of the instance that has the socket count even if the store has lost the claim, as may happen when a
 * Redis fails over.
 */
export const LIFE: Life = {
  'answered': { unknown: 'expected', expected: 'expected' },
  'claimed': { 'expected': 'claimed', 'open again': 'claimed' },
  'released': { claimed: 'expected' },
  'refused': { 'expected': 'expected', 'open again': 'open again' },
  'streaming': {
    'unknown': 'streaming',
    'expected': 'streaming',
    'claimed': 'streaming',
    'open again': 'streaming'
  },
  'handed over': { expected: 'open again', claimed: 'open again', streaming: 'open again' },
  'closed': {
    'unknown': 'ended',
    'expected': 'ended',
    'claimed': 'ended',
    'streaming': 'ended',
    'open again': 'ended'
  },
  'never came': { 'expected': 'ended', 'claimed': 'ended', 'open again': 'ended' },
  'lost': { claimed: 'ended', streaming: 'ended' }
}

/** Returns the stage of a listen. */
export function stageOf(listen: StoredListen | undefined): Stage {
  if (listen === undefined) return 'unknown'
  if (listen.state !== 'expected') return listen.state
  if (listen.instance !== undefined) return 'claimed'
  return listen.segments === undefined ? 'expected' : 'open again'
}

/** Returns true if an instance has a socket of the listen, or opens one. */
export function isOpen(listen: StoredListen): boolean {
  return ['claimed', 'streaming'].includes(stageOf(listen))
}

/** Returns true if the next actionHook asks for the listen again, because its socket was handed over or refused. */
export function isOffered(listen: StoredListen): boolean {
  return stageOf(listen) === 'open again' || wasRefused(listen)
}

/** Returns true if an instance that hands over refused the latest socket of the listen. */
export function wasRefused(listen: StoredListen): boolean {
  return ['expected', 'open again'].includes(stageOf(listen)) && listen.refused === true
}

/** Returns true if jambonz was asked for the listen again, and no socket is open yet. */
export function wasOffered(listen: StoredListen): boolean {
  return stageOf(listen) === 'expected' && (listen.offers ?? 0) > 0
}

type Fields = Omit<ListenPatch, 'id'>

/** Returns the write of a call's own fields. `ends`: true if they end the call, so that no later write changes them. */
export function callPart(fields: CallFields, ends: boolean): WritePart {
  const isOpen = { field: 'endedAt', is: null }
  const patch: CallPatch = { call: ends ? { ...fields, endedAt: isoTime() } : fields }
  return ends ? { guards: [isOpen], patch, final: true } : { patch }
}

/**
 * Returns the write that claims the listen for a socket of an instance. Only one of concurrent claims is written.
 * `mayCreate`: also claims a listen that the store does not have.
 */
export function claimPart(id: string, instance: string, mayCreate: boolean): WritePart {
  return {
    guards: [
      { listen: id, field: 'instance', is: null },
      { listen: id, field: 'state', not: 'ended' },
      ...(mayCreate ? [] : [isKnown(id)])
    ],
    patch: { listens: [{ id, instance }] }
  }
}

/** Returns the write for a claimed listen whose socket did not open, so that another socket may claim the listen. */
export function releasePart(id: string, instance: string): WritePart {
  return {
    guards: [
      { listen: id, field: 'instance', is: instance },
      { listen: id, field: 'state', is: 'expected' }
    ],
    patch: { listens: [{ id, instance: null }] },
    wakes: [id]
  }
}

/** Returns the write for a listen whose socket was refused by an instance that hands over. */
export function refusePart(id: string): WritePart {
  return {
    guards: [isKnown(id), { listen: id, field: 'state', is: 'expected' }],
    patch: { listens: [{ id, refused: true }] },
    wakes: [id]
  }
}

/**
 * Returns the write for a listen whose socket streams. `offers`: see StoredListen. If jambonz was asked for the listen
 * again, a hook may wait for this socket.
 */
export function streamingPart(id: string, instance: string, fields: Fields, offers = 0): WritePart {
  return {
    guards: [{ listen: id, field: 'state', not: 'ended' }],
    patch: { listens: [{ ...fields, id, state: 'streaming', connected: true, instance }] },
    ...(offers > 0 && { wakes: [id] })
  }
}

/** Returns the write for a listen whose socket was closed, so that another instance takes its next socket. */
export function handOverPart(id: string, fields: Fields): WritePart {
  return {
    guards: [isKnown(id), { listen: id, field: 'state', not: 'ended' }],
    patch: {
      listens: [{ ...fields, id, connected: true, state: 'expected', instance: null, refused: null }]
    },
    wakes: [id]
  }
}

/** Returns the write that ends a listen whose socket has closed. */
export function closePart(id: string, fields: Fields): WritePart {
  return {
    guards: [{ listen: id, field: 'state', not: 'ended' }],
    patch: { listens: [{ ...fields, id, connected: true, state: 'ended' }] },
    wakes: [id]
  }
}

/**
 * Returns the write of `closePart()` for a listen that other instances declared lost while this instance could not
 * reach the store.
 */
export function foundPart(id: string, instance: string, fields: Fields): WritePart {
  return {
    guards: [
      { listen: id, field: 'instance', is: instance },
      { listen: id, field: 'endReason', is: 'lost' }
    ],
    patch: { listens: [{ ...fields, id, connected: true, state: 'ended' }] },
    wakes: [id]
  }
}

/** Returns the write that ends a listen whose socket will not come, if none has come since the listen was read. */
export function neverCamePart(listen: StoredListen, endedAt = isoTime()): WritePart {
  const { id, instance, segments, keyed } = listen
  return {
    guards: [
      { listen: id, field: 'instance', is: instance ?? null },
      { listen: id, field: 'state', is: 'expected' }
    ],
    patch: {
      listens: [
        {
          id,
          state: 'ended',
          endReason: segments === undefined ? 'notConnected' : keyed ? 'finishOnKey' : 'drained',
          endedAt: segments?.at(-1)?.endedAt ?? endedAt
        }
      ]
    },
    wakes: [id]
  }
}

/** Returns the write that ends a listen whose instance died. */
export function losePart(id: string, instance: string): WritePart {
  return {
    guards: [
      { listen: id, field: 'instance', is: instance },
      { listen: id, field: 'state', not: 'ended' }
    ],
    patch: { listens: [{ id, state: 'ended', endReason: 'lost', endedAt: isoTime() }] },
    wakes: [id]
  }
}

/**
 * Returns the write by which an instance begins or ends to watch for the next socket of a listen: see
 * `StoredListen.watcher`.
 */
export function watchPart(id: string, instance: string, watches: boolean): WritePart {
  return {
    guards: [
      isKnown(id),
      watches
        ? { listen: id, field: 'state', is: 'expected' }
        : { listen: id, field: 'watcher', is: instance },
      // An instance that holds the socket need not watch the listen.
      { listen: id, field: 'instance', not: instance }
    ],
    patch: { listens: [{ id, watcher: watches ? instance : null }] }
  }
}

/** The fields of a listen in an actionHook. */
export interface HookSays {
  /** the key that ended the listen */
  digits?: string
  /** whole seconds; absent if the socket could not be opened, and in a GET hook */
  duration?: number
}

/**
 * Returns the write of an actionHook, for a listen in any stage that the store knows. If the hook has a key, writes
 * only that there was a key: see `keyPart`.
 */
export function hookPart(id: string, { digits, duration }: HookSays, fields: Fields = {}): WritePart {
  return {
    guards: [isKnown(id)],
    patch: {
      listens: [
        {
          id,
          hookedAt: isoTime(),
          ...(digits !== undefined && { keyed: true }),
          ...(duration !== undefined && { reportedDuration: duration }),
          ...fields
        }
      ]
    },
    wakes: [id]
  }
}

/**
 * Returns the write of the key that an actionHook reports. The store drops the key while the listen is open, because it
 * may not know yet that a pause has begun. It also drops a key pressed in a pause, and the key of a lost listen.
 */
export function keyPart(id: string, digits: string): WritePart {
  return {
    guards: [
      { listen: id, field: 'state', is: 'ended' },
      { listen: id, field: 'endReason', not: 'lost' },
      { listen: id, field: 'paused', not: 'silence' },
      { listen: id, field: 'paused', not: 'skip' }
    ],
    patch: { listens: [{ id, digits }] },
    wakes: [id]
  }
}

/** Returns true while the key of the actionHook is not written yet: see `keyPart`. */
export function awaitsKey({ keyed, paused, digits }: StoredListen): boolean {
  return keyed === true && digits === undefined && !paused
}

/** Returns the fields of a listen after another of its sockets has closed. `audio` counts all sockets. */
export function withSegment(listen: Listen, segment: ListenSegment): Pick<Listen, 'audio' | 'segments'> {
  const before = listen.segments ?? []
  return {
    audio: addUp(before.at(-1), listen.audio, segment),
    segments: [...before, segment]
  }
}

function addUp(
  last: ListenSegment | undefined,
  total: AudioCounts,
  { startedAt, endedAt, audio }: ListenSegment
): AudioCounts {
  if (last === undefined) return audio
  const between = Math.max(0, Date.parse(startedAt ?? endedAt) - Date.parse(last.endedAt))
  return {
    frames: total.frames + audio.frames,
    bytes: total.bytes + audio.bytes,
    durationMs: total.durationMs + audio.durationMs,
    gapMs: total.gapMs + between + audio.gapMs,
    maxGapMs: Math.max(total.maxGapMs, between, audio.maxGapMs)
  }
}

/** Returns the seconds that a handed-over listen may still last; undefined if there is no limit. */
export function lengthLeft({ maxLength, audio }: Pick<Listen, 'maxLength' | 'audio'>): number | undefined {
  return maxLength === undefined || maxLength <= 0
    ? undefined
    : Math.ceil(maxLength - (audio.durationMs + audio.gapMs) / 1000)
}

/** Returns the `maxLength` that jambonz was asked for with the last socket of an ended listen. */
export function lengthAsked({ maxLength, segments = [] }: Listen): number | undefined {
  const [first, ...others] = segments.slice(0, -1)
  if (first === undefined) return maxLength
  let [last, audio] = [first, first.audio]
  for (const segment of others) [last, audio] = [segment, addUp(last, audio, segment)]
  return lengthLeft({ maxLength, audio })
}

function isKnown(id: string): { listen: string; field: string; not: null } {
  return { listen: id, field: 'createdAt', not: null }
}

/** Returns a listen with the `maxLength` that jambonz was asked for with its next socket. */
export function nextSocketOf(listen: Listen): Listen {
  const left = listen.segments && lengthLeft(listen)
  return left === undefined ? listen : { ...listen, maxLength: left }
}

/**
 * ms that an actionHook waits for the end of its listen. After that, the handler runs, even if `listen.state` is not
 * `ended` yet. Other times follow from this time: the wait for recordings, the patience of `drain()`, the buckets of
 * the metric.
 */
export const HOOK_WAIT = 5_000

/** Returns the output of one socket, appended to the output of the listen's earlier sockets. */
export function outputOf(listen: Listen, said: readonly OutputEntry[] = []): Pick<Listen, 'output'> {
  if (said.length === 0) return {}
  const beforeMs = listen.segments === undefined ? 0 : listen.audio.durationMs
  const output = said.map((entry) => ({ ...entry, atMs: entry.atMs + beforeMs }))
  return { output: [...(listen.output ?? []), ...output] }
}
