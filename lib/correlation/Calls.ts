import type { EventEmitter } from 'node:events'
import type { AudioStream } from '../audio/index.js'
import type { JambonzEventMap } from '../model/jambonzEvents.js'
import type { Call, Listen, Recording } from '../model/schema.js'
import type { StoreHealth } from '../store/CallStore.js'
import type { Correlation } from './Correlation.js'

/** The events of `calls.events`: those of the calls on this instance. */
export interface CallEventMap extends JambonzEventMap {
  /** the first message about a call on this instance */
  call: [call: Call]
  /** a live stream: listeners run before its first audio is delivered */
  stream: [stream: AudioStream]
  /** a listen has ended, its recording is final */
  listenEnded: [listen: Listen, call: Call]
  /**
   * a recording is saved in its final place; once per recording. `recovered`: a dead instance had left it unfinished
   */
  recording: [recording: Recording, listen: Listen]
  /** a recording is complete on this disk and not compressed or sent yet: `recording` follows */
  recordingSpooled: [recording: Recording, listen: Listen]
  /** a recording failed; `error.recording` is the part that was saved */
  recordingFailed: [error: Error, listen: Listen]
  /** the last status event of a call */
  callEnded: [call: Call]
}

/** `fastify.jambonz.calls`: the calls of the shared store. */
export class Calls {
  readonly #correlation: Correlation

  constructor(correlation: Correlation) {
    this.#correlation = correlation
  }

  /** The events of the calls on this instance. If a listener throws, the error is logged and no call is affected. */
  get events(): EventEmitter<CallEventMap> {
    return this.#correlation.events
  }

  /** Resolves to a snapshot of the call; undefined when it is unknown or expired. */
  get(callSid: string): Promise<Call | undefined> {
    return this.#correlation.store.get(callSid)
  }

  /** Resolves to snapshots of the calls the store knows, newest first. */
  list(): Promise<Call[]> {
    return this.#correlation.store.list()
  }

  /** Returns the state of the store. */
  health(): StoreHealth {
    return this.#correlation.store.health()
  }

  /** Merges `data`, JSON, key by key into `call.data`, which all instances see. */
  update(callSid: string, data: Readonly<Record<string, unknown>>): Promise<Call> {
    return this.#correlation.updated(callSid, data)
  }
}
