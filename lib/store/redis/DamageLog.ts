import type { FastifyBaseLogger } from 'fastify'

/** Damaged fields remembered, so that each is logged once though it is read again and again. */
const MAX_SAID = 1_000
/** ms between two lines about messages */
const MESSAGE_INTERVAL = 60_000
/** characters of a message that the log shows */
const SHOWN = 100

/** Logs values that others have damaged in Redis: each field once, messages once a minute. */
export class DamageLog {
  readonly #logger: FastifyBaseLogger
  readonly #said = new Set<string>()
  #messages = 0
  #messagesSaid = -Infinity

  constructor(logger: FastifyBaseLogger) {
    this.#logger = logger
  }

  ofField(callSid: string, field: string): void {
    if (!this.#isNew(`${callSid}\n${field}`)) return
    this.#logger.warn({ callSid, field }, 'a field of a call in Redis is damaged: it is left out')
  }

  ofCall(callSid: string, err: unknown): void {
    if (!this.#isNew(callSid)) return
    this.#logger.error({ err, callSid }, 'a call in Redis could not be read: it is not listed')
  }

  ofHeld(name: string): void {
    if (!this.#isNew(name)) return
    this.#logger.warn(
      { name: name.slice(0, SHOWN) },
      'the name of a held listen in Redis is damaged: it is taken out'
    )
  }

  ofMessage(text: string): void {
    this.#messages++
    const now = performance.now()
    if (now - this.#messagesSaid < MESSAGE_INTERVAL) return
    this.#messagesSaid = now
    this.#logger.warn(
      { message: text.slice(0, SHOWN), count: this.#messages },
      'a message on the Redis channel is none of ours: it is ignored'
    )
    this.#messages = 0
  }

  #isNew(what: string): boolean {
    if (this.#said.has(what)) return false
    if (this.#said.size >= MAX_SAID) this.#said.clear()
    this.#said.add(what)
    return true
  }
}
