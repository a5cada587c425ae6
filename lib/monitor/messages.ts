import type { Call } from '../model/schema.js'
import type { StoreHealth } from '../store/CallStore.js'
import type { RecorderState } from '../audio/stream/LiveStream.js'
import { wallClock } from '../model/wallClock.js'

/** ms for which pages still get a call after its last event: AFTERGLOW if it is over, else FORGOTTEN */
const AFTERGLOW = 20_000
const FORGOTTEN = 600_000

/** monitor -> page: at every change */
export interface StateMessage {
  type: 'state'
  /** this instance, as it stands in `Listen.instance` */
  instance: string
  /** it is being shut down */
  draining: boolean
  store: StoreHealth
  /** in the first message all calls, those included that have been over for less than 20 s; later those that changed */
  calls: MonitoredCall[]
  /** callSids of calls to remove from the page */
  gone: string[]
}

/** monitor -> page: 20 times a second while this instance has a stream, else once */
export interface LevelsMessage {
  type: 'levels'
  /** this instance's clock, ms since the epoch */
  now: number
  /** by the listen's id; of this instance, and of those the page watches */
  streams: Record<string, StreamLevels>
}

export interface StreamLevels {
  /** absent: it is not recorded */
  recording?: RecorderState
  /** the audio is private at present */
  isPrivate: boolean
  /** the application's audio is being played to the caller */
  isSpokenTo: boolean
  /** ms of the call for which no audio came, all gaps so far */
  gapMs: number
  /**
   * lowest and highest sample of each channel since the last message, -128 to 127; channels as of what is listened in
   * to
   */
  peaks: Array<[low: number, high: number]>
}

export type MonitorMessage = StateMessage | LevelsMessage

/**
 * page -> monitor: the listens, by id, whose levels the page wants. Before the first such message it gets all levels.
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
  /** it has ended, or all its listens have */
  isOver: boolean
}

/** Returns a call as pages get it. */
export function monitored(call: Call): MonitoredCall {
  const { endedAt, listens } = call
  // Without a statusHook jambonz does not tell when a call ends.
  const isOver =
    endedAt !== undefined || (listens.length > 0 && listens.every(({ state }) => state === 'ended'))
  const shown = Object.fromEntries(SHOWN.map((field) => [field, call[field]]))
  return { ...(shown as Pick<Call, (typeof SHOWN)[number]>), isOver }
}

/** Returns true for a call that pages still get. */
export function isCurrent({ updatedAt, isOver, listens }: MonitoredCall): boolean {
  return (
    wallClock() - Date.parse(updatedAt) < (isOver ? AFTERGLOW : FORGOTTEN) ||
    listens.some(({ state }) => state === 'streaming')
  )
}
