import { EventEmitter } from 'node:events'
import { Duplex } from 'node:stream'
import type { AudioStreamEvents } from '../socket/types.js'

/**
 * Options of an emitter that gives the rejection of an async listener to the stream (`captureRejectionSymbol`): it
 * does not end the process.
 */
export const CAPTURING: object = { captureRejections: true }

type Listener = (...args: unknown[]) => unknown

/** A Duplex whose events are typed, and whose listeners can't end the process. */
export class AudioDuplex extends Duplex {
  readonly #listenerThrew: (err: unknown) => void

  /** `listenerThrew` is told what a listener threw, or rejected with. */
  constructor(listenerThrew: (err: unknown) => void) {
    super(CAPTURING)
    this.#listenerThrew = listenerThrew
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (AWAITED.has(event)) return emitToEach(this, this.#listenerThrew, event, args)
    try {
      return super.emit(event, ...args)
    } catch (err) {
      this.#listenerThrew(err)
      return true
    }
  }

  override [EventEmitter.captureRejectionSymbol](err: Error): void {
    this.#listenerThrew(err)
  }

  override on<E extends keyof AudioStreamEvents>(
    event: E,
    listener: (...args: AudioStreamEvents[E]) => void
  ): this
  override on(event: string | symbol, listener: (...args: never[]) => void): this
  override on(event: string | symbol, listener: (...args: never[]) => void): this {
    return super.on(event, listener as (...args: unknown[]) => void)
  }

  override once<E extends keyof AudioStreamEvents>(
    event: E,
    listener: (...args: AudioStreamEvents[E]) => void
  ): this
  override once(event: string | symbol, listener: (...args: never[]) => void): this
  override once(event: string | symbol, listener: (...args: never[]) => void): this {
    return super.once(event, listener as (...args: unknown[]) => void)
  }

  override [Symbol.asyncIterator](): NodeJS.AsyncIterator<Buffer> {
    return super[Symbol.asyncIterator]() as NodeJS.AsyncIterator<Buffer>
  }
}

/** The events that others wait for (`pipeline`, `finished`): what one listener throws must not keep them from the next. */
export const AWAITED: ReadonlySet<string | symbol> = new Set(['end', 'finish', 'error', 'close'])

/**
 * Emits an event to each listener. What one throws goes to `threw`, and not to whoever emits, which is often a timer or
 * Node itself: there it would end the process.
 */
export function emitToEach(
  emitter: EventEmitter,
  threw: (err: unknown) => void,
  event: string | symbol,
  args: unknown[]
): boolean {
  const listeners = emitter.rawListeners(event) as Listener[]
  if (event === 'error') listeners.unshift(...(emitter.rawListeners(EventEmitter.errorMonitor) as Listener[]))
  for (const listener of listeners) {
    try {
      const result = Reflect.apply(listener, emitter, args)
      if (result instanceof Promise) result.catch(threw)
    } catch (err) {
      threw(err)
    }
  }
  return listeners.length > 0
}
