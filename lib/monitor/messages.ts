import type { Call } from '../model/schema.js'
import type { StoreHealth } from '../store/CallStore.js'
import type { RecorderState } from '../audio/stream/LiveStream.js'
import { wallClock } from '../model/time.js'

/** ms for which pages get a call after its last event: AFTERGLOW for a call that is over, FORGOTTEN for any other */
const AFTERGLOW = 20_000
const FORGOTTEN = 600_000

/** monitor -> page: sent at each change */
export interface StateMessage {
  type: 'state'
  /** name of this instance, as in `Listen.instance` */
  instance: string
  /** true if this instance is being shut down */
  draining: boolean
  store: StoreHealth
  /**
   * the first message has all calls, including those that ended in the last 20 s; later ones have changed calls only
   */
  calls: MonitoredCall[]
  /** callSids of calls to remove from the page */
  gone: string[]
}

/**
 * monitor -> page: sent 20 times a second while this instance has a stream, and once a second while it has
 * none
 */
export interface LevelsMessage {
  type: 'levels'
  /** this instance's clock, ms since the epoch */
  now: number
  /** levels by listen id: of the streams of this instance that the page watches */
  streams: Record<string, StreamLevels>
}

export interface StreamLevels {
  /** absent if the stream is not recorded */
  recording?: RecorderState
  /** true if the audio is private now */
  isPrivate: boolean
  /** true if the caller hears audio of the application now */
  isSpokenTo: boolean
  /** ms of all gaps so far: parts of the call without audio */
  gapMs: number
  /** lowest and highest sample of each channel of the recording since the last message, -128 to 127 */
  peaks: Array<[low: number, high: number]>
}

export type MonitorMessage = StateMessage | LevelsMessage

/**
 * page -> monitor: the ids of the listens whose levels the page wants. Before the first such message, the
 * page gets all levels.
 */
export interface WatchMessage {
  watch: string[]
}

/** The fields of a call that the monitor shows: no environment, no customer data, no verbs. */
const SHOWN = [
  'callSid',
  'parentCallSid',
  'direction',
  'from',
  'to',
  'callStatus',
  'data',
  'listens',
  'createdAt',
  'updatedAt',
  'endedAt'
] as const satisfies ReadonlyArray<keyof Call>

export type MonitoredCall = Pick<Call, (typeof SHOWN)[number]> & {
  /** true if the call has ended, or if all its listens have ended */
  isOver: boolean
}

/** Returns the fields of a call that pages get. */
export function monitored(call: Call): MonitoredCall {
  const { endedAt, listens } = call
  // Without a statusHook, jambonz does not report the end of a call, so the end of all listens counts.
  const isOver =
    endedAt !== undefined || (listens.length > 0 && listens.every(({ state }) => state === 'ended'))
  const shown = Object.fromEntries(SHOWN.map((field) => [field, call[field]]))
  return { ...(shown as Pick<Call, (typeof SHOWN)[number]>), isOver }
}

/** Returns true if pages still get the call. */
export function isCurrent({ updatedAt, isOver, listens }: MonitoredCall): boolean {
  return (
    wallClock() - Date.parse(updatedAt) < (isOver ? AFTERGLOW : FORGOTTEN) ||
    listens.some(({ state }) => state === 'streaming')
  )
}
