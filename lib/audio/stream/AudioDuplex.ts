import { Duplex } from 'node:stream'
import type { AudioStreamEvents } from '../socket/types.js'

/** What an async listener rejects with comes to the stream (`captureRejectionSymbol`), and does not end the process. */
export const CAPTURING: object = { captureRejections: true }

/** A Duplex whose events are typed. */
export class AudioDuplex extends Duplex {
  constructor() {
    super(CAPTURING)
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
