import { loadSpeech, type Speech } from './audio/load.js'
import { checkEvent, checkMethodOptions } from './checkCall.js'
import { Clock } from './clock.js'
import { deferred } from './deferred.js'
import { SIM_ENDED } from './errors.js'
import { EventLog } from './events.js'
import { resolveOptions } from './options.js'
import { checkDigits, checkHold } from './session/press.js'
import { Session } from './session/session.js'
import { heardBy } from './session/story.js'
import type {
  CallStory,
  EventName,
  EventPayloads,
  Heard,
  ListenRecord,
  SimulateCallOptions,
  SimulatorEvent
} from './types.js'

/** Real ms in which a call that was torn down may post its last hooks. */
const TEAR_DOWN_MS = 1_000

/** A simulated call: `await` it for its story, or steer it while it runs. */
export class SimulatedCall implements Promise<CallStory> {
  readonly [Symbol.toStringTag] = 'SimulatedCall'
  readonly callSid: string
  readonly #session: Session
  readonly #clock: Clock
  readonly #events: EventLog
  readonly #story: Promise<CallStory>
  #over = false

  constructor(options: SimulateCallOptions) {
    const resolved = resolveOptions(options)
    this.#clock = new Clock(resolved.speed)
    this.#events = new EventLog(
      () => this.#clock.now(),
      (error) => this.#session.story.error(`a listener threw: ${String(error)}`)
    )
    if (resolved.onEvent !== undefined) this.#events.on('*', resolved.onEvent)
    this.#session = new Session(resolved, this.#clock, this.#events)
    this.callSid = this.#session.info.callSid
    this.#story = this.#run(resolved.deadlineMs, resolved.signal)
  }

  /** Resolves to the story at the end of the call. Never rejects: `story.errors` has the errors. */
  then<A = CallStory, B = never>(
    fulfilled?: ((story: CallStory) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    return this.#story.then(fulfilled, rejected)
  }

  /** Works as on any promise, but never calls `rejected`, because this promise never rejects. */
  catch<B = never>(rejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<CallStory | B> {
    return this.#story.catch(rejected)
  }

  finally(settled?: (() => void) | null): Promise<CallStory> {
    return this.#story.finally(settled)
  }

  /** The listens so far. Their records change while the call runs. */
  get listens(): readonly ListenRecord[] {
    return this.#session.story.listens
  }

  /** Simulated ms since the call began. */
  get now(): number {
    return this.#clock.now()
  }

  /** Has the caller say `speech` after his present speech. Resolves when he has said it, or at the end of the call. */
  async speak(speech: Speech): Promise<void> {
    this.#check('speak')
    const { leg, caller } = this.#session
    caller.speak(loadSpeech(speech, leg.rate))
    await leg.speech.emptied()
  }

  /** Has the caller press these keys now, each for 100 ms or `holdMs`, 150 ms apart. */
  press(digits: string, options: { holdMs?: number } = {}): void {
    this.#check('press')
    checkMethodOptions('press', options)
    checkDigits(digits)
    this.#session.caller.press({ digits, atMs: undefined, holdMs: checkHold(options.holdMs) })
  }

  /** Has the caller hang up now. */
  hangUp(): void {
    this.#session.hangUp('caller')
  }

  /** The peaks of the last 20 ms, 0 to 1: of the caller's audio, and of what he heard. */
  get levels(): { said: number; heard: number } {
    return this.#session.leg.levels
  }

  /** Ms of speech that the caller has not said yet. */
  get unsaidMs(): number {
    return Math.round((this.#session.leg.speech.length * 1000) / this.#session.leg.rate)
  }

  /** Returns the audio the caller has heard so far. */
  heard(): Heard {
    return heardBy(this.#session.leg, this.#session.story.marks)
  }

  /** Pauses every listen, as jambonz' live call control does: the audio stops, and no message reports the pause. */
  pauseListening(): void {
    this.#check('pauseListening')
    for (const fork of this.#session.leg.forks) fork.pause()
  }

  resumeListening(): void {
    for (const fork of this.#session.leg.forks) fork.resume()
  }

  /** Breaks the connection of the application's websocket without a close frame. jambonz then reconnects. */
  dropApplicationSocket(): void {
    this.#check('dropApplicationSocket')
    this.#session.post.drop()
  }

  /**
   * Changes the call as a PUT of jambonz' REST api with this body does: `call_hook`, `call_status`, `listen_status`.
   * The change is among the story's `commands`.
   */
  updateCall(change: Readonly<Record<string, unknown>>): void {
    this.#check('updateCall')
    this.#session.commands.update(change)
  }

  /** Stops simulated time at speed Infinity until the returned function is called, for tests with real waits. */
  hold(): () => void {
    return this.#clock.hold()
  }

  /**
   * Resolves to the payload of the next event of this name that no earlier `waitFor` got. The event may have happened
   * before this call. Throws FST_JAMBONZ_SIM_WAIT after `timeoutMs` real ms (10 000), or when the call ends without
   * such an event.
   */
  async waitFor<Name extends EventName>(
    name: Name,
    predicate?: (payload: EventPayloads[Name]) => boolean,
    options: { timeoutMs?: number } = {}
  ): Promise<EventPayloads[Name]> {
    checkEvent('waitFor', name)
    checkMethodOptions('waitFor', options)
    return await this.#events.waitFor(name, predicate, options.timeoutMs)
  }

  on<Name extends EventName>(
    name: Name,
    listener: (payload: EventPayloads[Name], atMs: number) => void
  ): this {
    checkEvent('on', name)
    this.#events.on(name, (event: SimulatorEvent) =>
      listener(event.payload as EventPayloads[Name], event.atMs)
    )
    return this
  }

  once<Name extends EventName>(
    name: Name,
    listener: (payload: EventPayloads[Name], atMs: number) => void
  ): this {
    checkEvent('once', name)
    const off = this.#events.on(name, (event: SimulatorEvent) => {
      off()
      listener(event.payload as EventPayloads[Name], event.atMs)
    })
    return this
  }

  async #run(deadlineMs: number, signal: AbortSignal | undefined): Promise<CallStory> {
    const session = this.#session
    let giveUp: NodeJS.Timeout | undefined
    const tornDown = deferred()
    const tearDown = (why: string) => {
      session.abort(why)
      giveUp ??= setTimeout(tornDown.resolve, TEAR_DOWN_MS)
    }
    const onAbort = () => tearDown('aborted by the signal')
    const deadline = setTimeout(
      () => tearDown(`the deadline of ${deadlineMs} ms passed: call torn down`),
      deadlineMs
    )
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
    await Promise.race([session.run(), tornDown.promise])
    clearTimeout(deadline)
    clearTimeout(giveUp)
    signal?.removeEventListener('abort', onAbort)
    this.#over = true
    const story = session.story.finish(
      this.callSid,
      session.leg,
      Math.round(this.#clock.now()),
      session.problems.list
    )
    this.#clock.stop()
    this.#events.emit('end', story)
    this.#events.close()
    return story
  }

  #check(method: string): void {
    if (this.#over) throw new SIM_ENDED(method)
  }
}
