import type { LiveListens } from '../listening/LiveListens.js'
import type { LiveCalls } from '../application/control/LiveCalls.js'
import type { Listen } from '../model/schema.js'
import type { Recordings } from '../recording/Recordings.js'
import type { RequestKind, RequestMetrics, RequestOutcome } from '../application/observeRequests.js'
import { METRICS } from './definitions.js'
import { expose, Counter, Histogram, Reading, type Instrument } from './instruments.js'

export interface MetricsSources {
  calls: LiveCalls
  liveListens: LiveListens
  recordings: Recordings | undefined
}

/** The metrics of one instance, counted from its events: nothing is added to the audio's path. */
export class Metrics implements RequestMetrics {
  readonly instruments: readonly Instrument[]
  readonly #requests = new Counter(METRICS.requests)
  readonly #errors = new Counter(METRICS.errors)
  readonly #hookWait = new Histogram(METRICS.hookWait)
  readonly #hooksUnfinished = new Counter(METRICS.hooksUnfinished)

  constructor(sources: MetricsSources) {
    const instruments = [
      ...countEvents(sources.calls),
      this.#requests,
      this.#errors,
      this.#hookWait,
      this.#hooksUnfinished,
      ...readings(sources)
    ]
    // In the order of the table, whoever counts them.
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
  events.on('listenEnded', ({ endReason, connected, audio }) => {
    listensEnded.add(1, endReason ?? 'error')
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

function readings({ calls, liveListens, recordings }: MetricsSources): Instrument[] {
  return [
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
