import type { Call } from '../model/schema.js'
import type { StoreHealth } from '../store/CallStore.js'
import type { RecorderState } from '../audio/stream/LiveStream.js'

/** ms for which pages still get a call that is over, or that has no more events */
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
  /** lowest and highest sample of each channel since the last message, -128 to 127; channels as of what is listened in to */
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
export type MonitoredCall = Pick<
  Call,
  | 'callSid'
  | 'parentCallSid'
  | 'direction'
  | 'from'
  | 'to'
  | 'callStatus'
  | 'data'
  | 'listens'
  | 'createdAt'
  | 'updatedAt'
  | 'endedAt'
> & {
  /** it has ended, or all its listens have */
  isOver: boolean
}

export function monitored({
  callSid,
  parentCallSid,
  direction,
  from,
  to,
  callStatus,
  data,
  listens,
  createdAt,
  updatedAt,
  endedAt
}: Call): MonitoredCall {
  // Without a statusHook jambonz does not tell when a call ends.
  const isOver =
    endedAt !== undefined || (listens.length > 0 && listens.every(({ state }) => state === 'ended'))
  return {
    callSid,
    parentCallSid,
    direction,
    from,
    to,
    callStatus,
    data,
    listens,
    createdAt,
    updatedAt,
    endedAt,
    isOver
  }
}

export function isCurrent({ updatedAt, isOver, listens }: MonitoredCall): boolean {
  return (
    Date.now() - Date.parse(updatedAt) < (isOver ? AFTERGLOW : FORGOTTEN) ||
    listens.some(({ state }) => state === 'streaming')
  )
}
