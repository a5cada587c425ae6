import { EventEmitter } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import type { AudioStream } from '../audio/stream/AudioStream.js'
import {
  isJambonzEvent,
  type JambonzEventMap,
  type JambonzEvent,
  type JambonzEventName
} from '../model/payloads.js'
import type { Call, Listen, Recording } from '../model/schema.js'
import type { RecordingError } from '../recording/types.js'

/** The events that `calls.events` emits about the calls on this instance. */
export interface CallEventMap extends JambonzEventMap {
  /** this instance got its first message of the call */
  call: [call: Call]
  /** a stream has begun; listeners run before its first audio is delivered */
  stream: [stream: AudioStream]
  /** a listen has ended, and its recording is final */
  listenEnded: [listen: Listen, call: Call]
  /**
   * a recording is saved in its final place; emitted once per recording. `recovered` is true if a dead
   * instance left it.
   */
  recording: [recording: Recording, listen: Listen]
  /** a recording is complete on this disk, but not compressed or sent yet; `recording` follows */
  recordingSpooled: [recording: Recording, listen: Listen]
  /** a recording failed; `error.code` says why, and `listenEnded` has the part that was saved */
  recordingFailed: [error: RecordingError, listen: Listen]
  /** a call has ended, as its last status event says */
  callEnded: [call: Call]
}

type AsyncListener<Name extends keyof CallEventMap> = (...args: CallEventMap[Name]) => Promise<unknown>

/** Without these overloads, the rule no-misused-promises of typescript-eslint refuses async listeners. */
interface AsyncListeners {
  on<Name extends keyof CallEventMap>(name: Name, listener: AsyncListener<Name>): this
  once<Name extends keyof CallEventMap>(name: Name, listener: AsyncListener<Name>): this
  off<Name extends keyof CallEventMap>(name: Name, listener: AsyncListener<Name>): this
}

/** The type of `calls.events`. Its listeners may be async. */
export type CallEmitter = AsyncListeners & EventEmitter<CallEventMap>

const ABOUT: {
  [Name in Exclude<keyof CallEventMap, JambonzEventName>]: (...args: CallEventMap[Name]) => Call | Listen
} = {
  call: (call) => call,
  stream: ({ listen }) => listen,
  listenEnded: (listen) => listen,
  recording: (_recording, listen) => listen,
  recordingSpooled: (_recording, listen) => listen,
  recordingFailed: (_error, listen) => listen,
  callEnded: (call) => call
}

function subjectOf<Name extends keyof CallEventMap>(
  name: Name,
  args: CallEventMap[Name]
): Call | Listen | JambonzEvent {
  if (isJambonzEvent(name)) return (args as [JambonzEvent])[0]
  return (ABOUT[name as keyof typeof ABOUT] as (...args: unknown[]) => Call | Listen)(...args)
}

/** The emitter behind `calls.events`. If a listener throws or rejects, the error is logged and no call is affected. */
export class CallEvents {
  readonly emitter = new EventEmitter<CallEventMap>({ captureRejections: true }) as CallEmitter
  readonly #logger: FastifyBaseLogger

  constructor(logger: FastifyBaseLogger) {
    this.#logger = logger
    const emitter: EventEmitter = this.emitter
    emitter[EventEmitter.captureRejectionSymbol] = (err, name, ...args) => {
      this.#blame(err, name as keyof CallEventMap, args as never)
    }
  }

  emit<Name extends keyof CallEventMap>(name: Name, ...args: CallEventMap[Name]): void {
    try {
      // The types of EventEmitter resolve the arguments only for a literal name, so `emit` is cast.
      ;(this.emitter.emit as (name: string, ...args: unknown[]) => boolean).call(this.emitter, name, ...args)
    } catch (err) {
      this.#blame(err, name, args)
    }
  }

  #blame<Name extends keyof CallEventMap>(err: unknown, name: Name, args: CallEventMap[Name]): void {
    const about = subjectOf(name, args)
    this.#logger.error(
      { err, event: name, callSid: about.callSid, ...('id' in about && { listenId: about.id }) },
      'a listener of jambonz.calls.events threw'
    )
  }
}
