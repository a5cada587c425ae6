import type { RequestKind, RequestOutcome, RequestMetrics } from '../application/observeRequests.js'
import { neverBegan } from '../correlation/endReasons.js'
import { HOOK_WAIT } from '../model/listenLife.js'
import { JAMBONZ_EVENTS } from '../model/payloads.js'
import { EndReasonSchema, type Listen } from '../model/schema.js'
import type { LiveListens } from '../listening/LiveListens.js'
import type { LiveCalls } from '../application/control/LiveCalls.js'
import type { Recordings } from '../recording/Recordings.js'
import { expose, Counter, Histogram, Reading, type Instrument } from './instruments.js'

/** The definition of a metric. Names follow Prometheus: base units, `_total` at the end of counters. */
export interface Definition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /** how the values of several instances, or of the workers of a cluster, are combined into one */
  readonly aggregator: 'sum' | 'min' | 'max'
  /**
   * the label values whose samples exist from the start, with value 0, so that Prometheus sees the first
   * event as a rise
   */
  readonly labels: Readonly<Record<string, readonly string[]>>
  /** upper bounds of a histogram */
  readonly buckets: readonly number[]
}

const DEFAULTS = { aggregator: 'sum', labels: {}, buckets: [] } as const

const counter = (name: string, help: string, labels: Definition['labels'] = {}): Definition => ({
  ...DEFAULTS,
  type: 'counter',
  name,
  help,
  labels
})
const gauge = (name: string, help: string, aggregator: Definition['aggregator'] = 'sum'): Definition => ({
  ...DEFAULTS,
  type: 'gauge',
  name,
  help,
  aggregator
})
const histogram = (name: string, help: string, buckets: readonly number[]): Definition => ({
  ...DEFAULTS,
  type: 'histogram',
  name,
  help,
  buckets
})

const KINDS: readonly RequestKind[] = ['webhook', 'actionHook', 'statusHook', 'audio', 'application']
const OUTCOMES: readonly RequestOutcome[] = ['answered', 'fallback', 'refused', 'failed', 'aborted']
const OTHER = 'other'
const MESSAGES: readonly string[] = [
  'session:new',
  'session:reconnect',
  'session:redirect',
  'session:adulting',
  'verb:hook',
  'dial:confirm',
  'call:status',
  ...JAMBONZ_EVENTS,
  OTHER
]
const END_REASONS = EndReasonSchema.anyOf.map(({ const: reason }) => reason)
/** the `reason` of a listen whose call ended before it: unlike other `notConnected` listens, it shows no fault */
const NOT_BEGUN = 'notBegun'

/** All metrics, by the names that the code uses. */
export const METRICS = {
  calls: counter('jambonz_calls_total', 'calls that this instance was the first to learn of'),
  callsEnded: counter('jambonz_calls_ended_total', 'calls whose last status event has come'),

  requests: counter('jambonz_requests_total', 'requests of jambonz, by kind and outcome', {
    kind: KINDS,
    outcome: OUTCOMES
  }),
  errors: counter(
    'jambonz_errors_total',
    'errors of requests and sockets, by code; other: errors of the application',
    { code: ['other'] }
  ),
  hookWait: histogram(
    'jambonz_hook_wait_seconds',
    'time from the arrival of an actionHook until its listen is complete and its handler runs',
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, HOOK_WAIT / 1000]
  ),
  hooksUnfinished: counter(
    'jambonz_hooks_unfinished_total',
    `actionHooks whose handler ran although the listen had not ended after ${HOOK_WAIT / 1000} s`
  ),

  applicationSockets: gauge(
    'jambonz_application_sockets_live',
    'open application websockets; each call has one'
  ),
  applicationMessages: counter(
    'jambonz_application_messages_total',
    'messages of application websockets, by type: session:new for each call, session:reconnect for each reconnect',
    { type: MESSAGES }
  ),
  lateAnswers: counter(
    'jambonz_application_late_answers_total',
    'answers of handlers that came after the ack of their message, or after their socket had closed; sent: they were sent as a command, dropped: they were dropped',
    { outcome: ['sent', 'dropped'] }
  ),

  streams: counter('jambonz_streams_total', 'audio sockets that streamed'),
  streamsLive: gauge('jambonz_streams_live', 'open audio sockets'),
  streamsReadByWs: counter(
    'jambonz_streams_read_by_ws_total',
    'audio sockets that ws reads: limits.fastReader is false, or the fast reader does not know this version of ws or Node'
  ),
  draining: gauge(
    'jambonz_draining',
    '1: drain() has begun, and the instance takes no streams of new calls',
    'max'
  ),

  listensEnded: counter('jambonz_listens_ended_total', 'listens that ended, by end reason', {
    reason: [...END_REASONS, NOT_BEGUN]
  }),
  listenDuration: histogram(
    'jambonz_listen_duration_seconds',
    'length of the listens that ended and had a socket, gaps included',
    [1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200]
  ),
  frames: counter(
    'jambonz_audio_frames_total',
    'websocket messages with audio; a listen is counted when it ends'
  ),
  bytes: counter('jambonz_audio_bytes_total', 'bytes of audio; a listen is counted when it ends'),
  gaps: counter(
    'jambonz_audio_gap_seconds_total',
    'seconds for which audio is missing; a listen is counted when it ends'
  ),

  recordings: counter('jambonz_recordings_total', 'recordings, by outcome', {
    outcome: ['saved', 'recovered', 'spooled', 'failed']
  }),
  recordingBytes: counter(
    'jambonz_recording_bytes_total',
    'bytes of the recordings that were saved or recovered'
  ),
  recordingSeconds: counter(
    'jambonz_recording_seconds_total',
    'seconds of the recordings that were saved or recovered'
  ),
  recordingsWaiting: gauge(
    'jambonz_recordings_waiting',
    'complete recordings that are not yet compressed or sent to the sink'
  ),
  recordingMemory: gauge(
    'jambonz_recording_memory_bytes',
    'bytes that wait for the disk or sink, out of recording.maxMemory; a slow disk or sink makes this grow'
  ),

  storeAvailable: gauge(
    'jambonz_store_available',
    '1: the store can be reached; 0: it cannot, and the instance uses its own copies of the calls',
    'min'
  ),
  storePending: gauge(
    'jambonz_store_pending_calls',
    'calls with changes that are not yet written to the store'
  ),
  storeDropped: counter(
    'jambonz_store_dropped_calls_total',
    'calls whose changes were dropped before they could be written to the store'
  )
} as const satisfies Record<string, Definition>

export interface MetricsSources {
  calls: LiveCalls
  liveListens: LiveListens
  recordings: Recordings | undefined
  /** Returns the number of open application websockets. */
  applicationSockets: () => number
}

/**
 * The metrics of one instance. They are counted from the instance's events, so that audio frames cost no more
 * CPU.
 */
export class Metrics implements RequestMetrics {
  readonly instruments: readonly Instrument[]
  readonly #requests = new Counter(METRICS.requests)
  readonly #errors = new Counter(METRICS.errors)
  readonly #messages = new Counter(METRICS.applicationMessages)
  readonly #lateAnswers = new Counter(METRICS.lateAnswers)
  readonly #hookWait = new Histogram(METRICS.hookWait)
  readonly #hooksUnfinished = new Counter(METRICS.hooksUnfinished)

  constructor(sources: MetricsSources) {
    const instruments = [
      ...countEvents(sources.calls),
      this.#requests,
      this.#errors,
      this.#messages,
      this.#lateAnswers,
      this.#hookWait,
      this.#hooksUnfinished,
      ...readings(sources)
    ]
    // The instruments get the order of METRICS.
    this.instruments = Object.values(METRICS).flatMap((definition) =>
      instruments.filter((instrument) => instrument.definition === definition)
    )
  }

  requested(kind: RequestKind, outcome: RequestOutcome): void {
    this.#requests.add(1, kind, outcome)
  }

  erred(error: Error & { code?: unknown }): void {
    const { code } = error
    this.#errors.add(1, typeof code === 'string' && code.startsWith('FST_') ? code : 'other')
  }

  messaged(type: string): void {
    this.#messages.add(1, MESSAGES.includes(type) ? type : OTHER)
  }

  cameLate(outcome: 'sent' | 'dropped'): void {
    this.#lateAnswers.add(1, outcome)
  }

  hookWaited(ms: number, { state }: Listen): void {
    this.#hookWait.observe(ms / 1000)
    if (state !== 'ended') this.#hooksUnfinished.add(1)
  }

  text(): string {
    return this.instruments.map((instrument) => expose(instrument.definition, instrument.samples())).join('')
  }
}

function countEvents({ events }: LiveCalls): Instrument[] {
  const calls = new Counter(METRICS.calls)
  const callsEnded = new Counter(METRICS.callsEnded)
  const streams = new Counter(METRICS.streams)
  const listensEnded = new Counter(METRICS.listensEnded)
  const listenDuration = new Histogram(METRICS.listenDuration)
  const frames = new Counter(METRICS.frames)
  const bytes = new Counter(METRICS.bytes)
  const gaps = new Counter(METRICS.gaps)
  const recordings = new Counter(METRICS.recordings)
  const recordingBytes = new Counter(METRICS.recordingBytes)
  const recordingSeconds = new Counter(METRICS.recordingSeconds)

  events.on('call', () => calls.add(1))
  events.on('callEnded', () => callsEnded.add(1))
  events.on('stream', () => streams.add(1))
  events.on('listenEnded', (listen, call) => {
    const { endReason, connected, audio } = listen
    listensEnded.add(1, neverBegan(listen, call) ? NOT_BEGUN : (endReason ?? 'error'))
    if (connected) listenDuration.observe((audio.durationMs + audio.gapMs) / 1000)
    frames.add(audio.frames)
    bytes.add(audio.bytes)
    gaps.add(audio.gapMs / 1000)
  })
  events.on('recording', (recording) => {
    recordings.add(1, recording.recovered === true ? 'recovered' : 'saved')
    recordingBytes.add(recording.bytes)
    recordingSeconds.add(recording.durationMs / 1000)
  })
  events.on('recordingSpooled', () => recordings.add(1, 'spooled'))
  events.on('recordingFailed', () => recordings.add(1, 'failed'))
  return [
    calls,
    callsEnded,
    streams,
    listensEnded,
    listenDuration,
    frames,
    bytes,
    gaps,
    recordings,
    recordingBytes,
    recordingSeconds
  ]
}

function readings({ calls, liveListens, recordings, applicationSockets }: MetricsSources): Instrument[] {
  return [
    new Reading(METRICS.applicationSockets, applicationSockets),
    new Reading(METRICS.streamsLive, () => liveListens.size),
    new Reading(METRICS.streamsReadByWs, () => liveListens.readByWs),
    new Reading(METRICS.draining, () => Number(liveListens.sealed)),
    new Reading(METRICS.recordingsWaiting, () => recordings?.waiting ?? 0),
    new Reading(METRICS.recordingMemory, () => recordings?.memory ?? 0),
    new Reading(METRICS.storeAvailable, () => Number(calls.health().available)),
    new Reading(METRICS.storePending, () => calls.health().pending),
    new Reading(METRICS.storeDropped, () => calls.health().dropped)
  ]
}
