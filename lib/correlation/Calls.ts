import { EventEmitter } from 'node:events'
import type { AudioStream } from '../audio/index.js'
import type { CallStore, StoreHealth } from '../store/CallStore.js'
import type { Call, Listen, Recording } from '../model/schema.js'

/** `calls.events`: what happens to calls on this instance. */
export interface CallEventMap {
  /** a call this instance hears of for the first time */
  call: [call: Call]
  /** a live stream: listeners run before its first audio is delivered */
  stream: [stream: AudioStream]
  /** a listen has ended, its recording is final */
  listenEnded: [listen: Listen, call: Call]
  /** a recording is saved; `recovered` when it was left by an instance that died */
  recording: [recording: Recording, listen: Listen]
  /** a recording failed; what was saved of it is named by the error */
  recordingFailed: [error: Error, listen: Listen]
  /** the last status event of a call */
  callEnded: [call: Call]
}

const ABOUT: { [Name in keyof CallEventMap]: (...args: CallEventMap[Name]) => Call | Listen } = {
  call: (call) => call,
  stream: ({ listen }) => listen,
  listenEnded: (listen) => listen,
  recording: (_recording, listen) => listen,
  recordingFailed: (_error, listen) => listen,
  callEnded: (call) => call
}

/** Which call, and which listen, an event is about: for the log. */
export function idsOfEvent<Name extends keyof CallEventMap>(
  name: Name,
  args: CallEventMap[Name]
): { callSid: string; listenId?: string } {
  const about = ABOUT[name](...args)
  return { callSid: about.callSid, ...('id' in about && { listenId: about.id }) }
}

/** `fastify.jambonz.calls`: the calls of the shared store. */
export class Calls {
  // An async listener that rejects must not end the process, and every call with it: the Correlator is told.
  readonly events = new EventEmitter<CallEventMap>({ captureRejections: true })
  readonly #store: CallStore

  constructor(store: CallStore) {
    this.#store = store
  }

  /** A snapshot of the call; undefined when it is unknown or expired. */
  get(callSid: string): Promise<Call | undefined> {
    return this.#store.get(callSid)
  }

  /** Snapshots of the calls the store knows, newest first. */
  list(): Promise<Call[]> {
    return this.#store.list()
  }

  /** How well the store can be reached just now. */
  health(): StoreHealth {
    return this.#store.health?.() ?? { available: true, pending: 0, dropped: 0 }
  }

  /** Merges `data` key by key into `call.data`, which the call keeps on all instances; must be JSON. */
  async update(callSid: string, data: Record<string, unknown>): Promise<Call> {
    const { call } = await this.#store.update(callSid, { data })
    return call
  }
}
