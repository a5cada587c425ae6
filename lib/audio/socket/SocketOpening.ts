import type { FastifyBaseLogger } from 'fastify'
import { toError } from '../../model/json.js'
import type { Call, Listen } from '../../model/schema.js'
import { readMetadata, salvageMetadata } from './messages.js'

export interface Opened {
  call: Call
  listen: Listen
}

/** Resolves to the listen that a socket's first frame names. Rejects if the frame names no listen. */
export type Identify = (metadata: Record<string, unknown> | undefined) => Promise<Opened>

export interface OpeningSteps {
  /** Stops reading, until the listen is known. */
  pause(): void
  resume(): void
  /** Called once, when the listen is known, before any `replay()`. */
  opened(opened: Opened, metadata: Record<string, unknown> | undefined): void
  /**
   * Called once instead of `opened()`, if the listen does not become known. `error` is undefined if jambonz ended the
   * listen before the socket opened.
   */
  failed(error: Error | undefined): void
  /** Delivers a frame that arrived before the listen was known. Called in order. */
  replay(data: Buffer, isBinary: boolean): void
}

/** ms for which a message of an ended listen may be on its way */
const LAST_MESSAGE = 250

/**
 * Opens a socket: finds out which listen the socket is for, and keeps the frames that arrive meanwhile. The
 * first frame should be the metadata, but it may be cut, be invalid JSON, or be missing (mod_audio_fork). If
 * the socket's path names the listen, the audio is kept anyway.
 */
export class SocketOpening {
  /** ms, as of `performance.now()`, when the first message arrived; undefined before */
  firstAt: number | undefined
  readonly #known: Opened | undefined
  readonly #identify: Identify | undefined
  readonly #steps: OpeningSteps
  readonly #logger: FastifyBaseLogger
  readonly #timer: NodeJS.Timeout
  #held: Array<{ data: Buffer; isBinary: boolean }> | undefined
  #over = false

  constructor(
    known: Opened | undefined,
    identify: Identify | undefined,
    timeout: number,
    steps: OpeningSteps,
    logger: FastifyBaseLogger
  ) {
    this.#known = known
    this.#identify = identify
    this.#steps = steps
    this.#logger = logger
    this.#timer = setTimeout(
      () => this.#fail(new Error(`no listen was known ${timeout} ms after the socket opened`)),
      timeout
    )
  }

  /** Takes a message that arrives before the listen is known. */
  message(data: Buffer, isBinary: boolean): void {
    if (this.#over) return
    this.firstAt ??= performance.now()
    if (this.#held !== undefined) {
      this.#held.push({ data, isBinary })
      return
    }
    const metadata = isBinary ? undefined : readMetadata(data)
    this.#held = isBinary ? [{ data, isBinary }] : []
    if (metadata === undefined) this.#warn(data, isBinary)
    if (this.#known !== undefined) this.#open(this.#known, metadata)
    else this.#ask(metadata ?? (isBinary ? undefined : salvageMetadata(data)))
  }

  /**
   * Fails soon if no message has come, since the actionHook of the listen has come. If jambonz ends a listen while its
   * socket opens, for example because of a key, it neither sends anything on the socket nor closes it (mod_audio_fork).
   */
  hurry(): void {
    if (this.firstAt !== undefined) return
    // A busy process reads messages that have come before it runs the callback of setImmediate.
    setTimeout(() => setImmediate(() => this.firstAt === undefined && this.#fail(undefined)), LAST_MESSAGE)
  }

  /** Ends the opening, because the listen is known, or because the socket has closed. */
  end(): void {
    this.#over = true
    clearTimeout(this.#timer)
  }

  #ask(metadata: Record<string, unknown> | undefined): void {
    if (this.#identify === undefined) {
      return this.#fail(new Error('neither the path nor the first frame names the listen'))
    }
    this.#steps.pause()
    this.#identify(metadata).then(
      (opened) => {
        if (this.#over) return
        this.#open(opened, metadata)
        this.#steps.resume()
      },
      (err: unknown) => this.#fail(toError(err))
    )
  }

  #open(opened: Opened, metadata: Record<string, unknown> | undefined): void {
    this.end()
    this.#steps.opened(opened, metadata)
    for (const { data, isBinary } of this.#held ?? []) this.#steps.replay(data, isBinary)
    this.#held = undefined
  }

  #fail(error: Error | undefined): void {
    if (this.#over) return
    this.end()
    this.#held = undefined
    this.#steps.failed(error)
  }

  #warn(data: Buffer, isBinary: boolean): void {
    const first = isBinary ? 'audio' : `${data.length} bytes of text that is no JSON object`
    this.#logger.warn(
      `the socket began with ${first} in place of the metadata; ${this.#known ? 'its path names the listen, so its audio is kept' : 'its path names no listen'}`
    )
  }
}
