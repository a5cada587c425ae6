import type { CallPatch, ListenPatch, WritePart } from './callWrite.js'
import type { CallFields } from './payloads.js'
import type { AudioCounts, EndReason, Listen, ListenSegment, StoredListen } from './schema.js'

// The life of a listen: its stages and transitions. docs/listen-life.md has the table; a test tries every event in every
// stage on each store.

/**
 * The stage of a listen.
 * `unknown`: the store does not have it. `expected`: its verb was answered, no socket has come. `claimed`: an instance
 * has claimed it for a socket that is being opened. `streaming`: its audio arrives. `open again`: its socket was closed
 * so that another instance takes the next one. `ended`: no more audio arrives.
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
 * The next stage of a listen, by event and present stage. An event that does not name the present stage changes
 * nothing. The instance that has the socket is believed: its events count even if the store lost the claim, as a Redis
 * that failed over can.
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

/**
 * Returns true if the next actionHook is answered with the listen again: its socket was handed over, or was refused.
 */
export function isOffered(listen: StoredListen): boolean {
  const stage = stageOf(listen)
  return stage === 'open again' || (stage === 'expected' && listen.refused === true)
}

/** Returns true if jambonz was asked for the listen again, and no socket is open yet. */
export function wasOffered(listen: StoredListen): boolean {
  return stageOf(listen) === 'expected' && (listen.offers ?? 0) > 0
}

/** Returns true if the recordings of all segments of the listen are final. */
export function isSaved({ saved = 0, segments = [] }: Pick<StoredListen, 'saved' | 'segments'>): boolean {
  return segments.findLastIndex(({ recorded }) => recorded) < saved
}

type Fields = Omit<ListenPatch, 'id'>

/** Returns the write of a call's own fields. `ends`: they end the call, and no later write changes them. */
export function callPart(fields: CallFields, ends: boolean): WritePart {
  const isOpen = { field: 'endedAt', is: null }
  const patch: CallPatch = { call: ends ? { ...fields, endedAt: new Date().toISOString() } : fields }
  return ends ? { guards: [isOpen], patch, final: true } : { patch }
}

/**
 * Returns the write that claims the listen for a socket of an instance: of all concurrent claims only one is written.
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

/** The socket that the listen was claimed for did not open: another may have it. */
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

/** An instance that hands its listens over has refused the listen's socket. */
export function refusePart(id: string): WritePart {
  return {
    guards: [isKnown(id), { listen: id, field: 'state', is: 'expected' }],
    patch: { listens: [{ id, refused: true }] }
  }
}

/** The socket of a claimed listen streams. */
export function streamingPart(id: string, instance: string, fields: Fields): WritePart {
  return {
    guards: [{ listen: id, field: 'state', not: 'ended' }],
    patch: { listens: [{ ...fields, id, state: 'streaming', connected: true, instance }] }
  }
}

/** The instance that holds the listen has closed its socket, so that another takes the next one. */
export function handOverPart(id: string, fields: Fields): WritePart {
  return {
    guards: [isKnown(id), { listen: id, field: 'state', not: 'ended' }],
    patch: { listens: [{ ...fields, id, connected: true, state: 'expected', instance: null }] },
    wakes: [id]
  }
}

/** The socket has closed, and nothing more comes. */
export function closePart(id: string, fields: Fields): WritePart {
  return {
    guards: [{ listen: id, field: 'state', not: 'ended' }],
    patch: { listens: [{ ...fields, id, connected: true, state: 'ended' }] },
    wakes: [id]
  }
}

/** The same of a listen that others took for lost with its instance, which was only cut off. */
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

/** No socket has come, or no next one, and none will: `listen` as it was read. */
export function neverCamePart({ id, instance, segments }: StoredListen): WritePart {
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
          endReason: segments === undefined ? 'notConnected' : 'drained',
          endedAt: segments?.at(-1)?.endedAt ?? new Date().toISOString()
        }
      ]
    },
    wakes: [id]
  }
}

/** The instance that held the listen is gone. */
export function losePart(id: string, instance: string): WritePart {
  return {
    guards: [
      { listen: id, field: 'instance', is: instance },
      { listen: id, field: 'state', not: 'ended' }
    ],
    patch: { listens: [{ id, state: 'ended', endReason: 'lost', endedAt: new Date().toISOString() }] },
    wakes: [id]
  }
}

/** The fields of a listen that an actionHook brings. */
export interface HookSays {
  /** the key that ended the listen */
  digits?: string
  /** whole seconds; absent where the socket could not be opened, and in a GET hook, which says nothing */
  duration?: number
}

/**
 * The listen's actionHook has come. Written of a listen that is known, whatever its stage. Of a key it notes only that
 * there was one: see `keyPart`.
 */
export function hookPart(id: string, { digits, duration }: HookSays, fields: Fields = {}): WritePart {
  return {
    guards: [isKnown(id)],
    patch: {
      listens: [
        {
          id,
          hookedAt: new Date().toISOString(),
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
 * The key of the listen's actionHook. Written only where the instance that had the socket has said that the listen has
 * ended, and not in private: until then its pauses may not have reached the store. That of a lost listen is not.
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

/** Returns true while the key of the listen's actionHook is still to be written: see `keyPart`. */
export function awaitsKey({ keyed, paused, digits }: StoredListen): boolean {
  return keyed === true && digits === undefined && !paused
}

/** Why jambonz ended the listen, which its socket could not tell: a close looks the same whatever the reason. */
export function endReasonPart(id: string, endReason: EndReason): WritePart {
  return {
    guards: [{ listen: id, field: 'endReason', is: 'closed' }],
    patch: { listens: [{ id, endReason }] }
  }
}

/** Returns the reason that the hook gives for the end of a listen; undefined where it gives none. */
export function reasonOfHook(
  { keyed, duration }: { keyed?: boolean; duration?: number },
  { maxLength = 0 }: Pick<Listen, 'maxLength'>
): EndReason | undefined {
  if (keyed) return 'finishOnKey'
  return maxLength > 0 && duration !== undefined && duration >= maxLength ? 'maxLength' : undefined
}

/** Returns what the listen has to say once another of its sockets has closed: all of them counted together. */
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

/** Returns the seconds that a listen which is handed over may still last; undefined: as long as it likes. */
export function lengthLeft({ maxLength, audio }: Pick<Listen, 'maxLength' | 'audio'>): number | undefined {
  return maxLength === undefined || maxLength <= 0
    ? undefined
    : Math.ceil(maxLength - (audio.durationMs + audio.gapMs) / 1000)
}

function isKnown(id: string): { listen: string; field: string; not: null } {
  return { listen: id, field: 'createdAt', not: null }
}

/** Returns a listen with the length that its next socket is left: jambonz was asked for no more. */
export function nextSocketOf(listen: Listen): Listen {
  const left = listen.segments && lengthLeft(listen)
  return left === undefined ? listen : { ...listen, maxLength: left }
}
