import { randomBytes } from 'node:crypto'
import { Clock } from '../clock.js'
import type { EventLog } from '../events.js'
import { Requestor, type Hook } from '../http/requestor.js'
import { Leg } from '../media/leg.js'
import type { ResolvedOptions } from '../options.js'
import type { RequestRecord } from '../types.js'
import type { VerbData } from '../verbs/application.js'
import { makeTask } from '../verbs/index.js'
import type { Task } from '../verbs/task.js'
import { CallInfo, type CallStatus } from './callInfo.js'
import { Caller } from './caller.js'
import { firstWebhook } from './firstWebhook.js'
import { Story } from './story.js'

const MAX_SIMULATED_MS = 4 * 3_600_000

/** One call inside jambonz: runs the application's verbs on the caller's leg (feature-server lib/session/call-session.js). */
export class Session {
  readonly options: ResolvedOptions
  readonly clock: Clock
  readonly events: EventLog
  readonly story = new Story()
  readonly info: CallInfo
  readonly leg: Leg
  readonly caller: Caller
  /** Tasks that run beside the verbs: config's listen and transcribe. */
  readonly background = new Map<string, Task>()
  requestor: Requestor
  gone = false
  answeredAt: number | undefined
  #notifier: Requestor
  #statusHook: Hook | undefined
  #tasks: Task[] = []
  #current: Task | undefined
  #statuses: Array<Promise<void>> = []
  #completed = false

  constructor (options: ResolvedOptions, clock: Clock, events: EventLog) {
    this.options = options
    this.clock = clock
    this.events = events
    this.info = new CallInfo(options.call)
    this.leg = new Leg(options.callRate, options.keepAudio)
    this.leg.speech.push(options.speech)
    this.caller = new Caller({
      leg: this.leg,
      clock,
      script: options,
      hangUp: () => this.hangUp('caller'),
      pressed: digit => events.emit('dtmf', { digit })
    })
    this.requestor = this.#newRequestor(options.url)
    this.#notifier = this.#newRequestor(options.statusHook ?? options.url)
    this.#statusHook = options.statusHook
  }

  /** The whole call, from the webhook to the last status event. Never rejects: what went wrong is in the story. */
  async run (): Promise<void> {
    try {
      await this.options.ready()
      const verbs = await firstWebhook(this)
      if (verbs.length === 0) throw new Error('no application: the webhook answered without verbs, jambonz declines the call')
      this.#tasks = verbs.map(({ verb, data }) => makeTask(this, verb, data))
      if (this.options.call.direction === 'inbound') this.notify('trying', 100, 'Trying')
      await this.#runTasks()
    } catch (error) {
      this.error(error)
    }
    await this.#end()
  }

  /** Posts an actionHook or the like; raises when jambonz would. */
  async hook (hook: Hook, params: object): Promise<unknown> {
    return await this.requestor.request('hook', hook, params, { times: this.options.faults.duplicateHook === true ? 2 : 1 })
  }

  /** A status event; nobody waits for its answer. */
  notify (status: CallStatus, sipStatus: number, sipReason: string, info = this.info): void {
    Object.assign(info, { callStatus: status, sipStatus, sipReason })
    if (this.#statusHook === undefined) return
    const posted = this.#notifier.request('status', this.#statusHook, info.toJSON()).then(() => {}, error => this.error(error))
    this.#statuses.push(posted)
  }

  /** Answers the call, once: from here on time passes in frames. */
  answer (): void {
    if (this.answeredAt !== undefined || this.gone) return
    this.answeredAt = this.clock.now()
    this.notify('in-progress', 200, 'OK')
    this.caller.answered()
    this.clock.startTicks(this.#tick, () => this.caller.busy || this.leg.addressed)
    const { hangUpAfterMs } = this.options
    this.clock.at(this.answeredAt + (hangUpAfterMs ?? MAX_SIMULATED_MS), () => {
      if (hangUpAfterMs === undefined) this.error('the call lasted 4 simulated hours: hung up')
      this.hangUp('caller')
    })
  }

  replaceApplication (verbs: VerbData[]): void {
    if (this.gone) return
    this.#tasks = verbs.map(({ verb, data }) => makeTask(this, verb, data))
    this.#current?.kill('replaced')
  }

  hangUp (by: 'caller' | 'jambonz'): void {
    if (this.gone) return
    this.story.hangupBy = by
    this.#complete(by)
    this.events.emit('hangup', { by })
    this.gone = true
    this.#current?.kill('released')
  }

  /** The media server dies: sockets break without a close, and the call is over. */
  crash (why: string): void {
    this.error(`media server crashed: ${why}`)
    for (const fork of [...this.leg.forks]) fork.drop()
    this.hangUp('jambonz')
  }

  error (error: unknown): void {
    const text = error instanceof Error ? error.message : String(error)
    this.story.error(text)
    this.events.emit('error', { text })
  }

  moveTo (url: string): void {
    if (new URL(url).origin === this.requestor.baseUrl) return
    this.requestor.close()
    this.requestor = this.requestor.movedTo(url)
  }

  setStatusHook (hook: Hook): void {
    this.#statusHook = hook
    const url = typeof hook === 'string' ? hook : hook.url
    if (/^https?:\/\//.test(url)) this.#notifier = this.#notifier.movedTo(url)
  }

  /** Tears everything down at once: the deadline passed or the signal was aborted. */
  abort (why: string): void {
    this.error(why)
    for (const fork of [...this.leg.forks]) fork.drop()
    this.hangUp('caller')
    this.requestor.close()
    this.#notifier.close()
  }

  async #runTasks (): Promise<void> {
    for (let task = this.#tasks.shift(); task !== undefined && !this.gone; task = this.#tasks.shift()) {
      const { record } = task
      record.startedAtMs = Math.round(this.clock.now())
      this.story.verb(record)
      if (task.precondition === 'endpoint' && task.data.earlyMedia !== true) this.answer()
      this.events.emit('verb', record)
      if (task.precondition === 'answered' && this.answeredAt === undefined) {
        record.note = 'skipped: the call was not answered'
      } else {
        this.#current = task
        await task.exec()
        this.#current = undefined
      }
      record.endedAtMs = Math.round(this.clock.now())
    }
  }

  readonly #tick = (): void => {
    this.leg.speak()
    this.leg.peer?.speak()
    this.leg.listen()
    this.leg.peer?.listen()
    this.caller.tick(this.#current?.openEnded === true)
  }

  #complete (by: 'caller' | 'jambonz'): void {
    if (this.#completed) return
    this.#completed = true
    this.info.callTerminationBy = by
    if (this.answeredAt === undefined) {
      if (by === 'caller') this.notify('no-answer', 487, 'Request Terminated')
      return
    }
    this.info.duration = Math.floor((this.clock.now() - this.answeredAt) / 1000)
    this.notify('completed', this.info.sipStatus, this.info.sipReason)
  }

  async #end (): Promise<void> {
    if (!this.gone && this.answeredAt === undefined) this.error('jambonz declines the call (603): no verb answered it')
    this.hangUp('jambonz')
    this.clock.stopTicks()
    this.leg.player.stopAll()
    this.leg.speech.clear()
    for (const task of this.background.values()) task.kill('released')
    for (const fork of [...this.leg.forks]) fork.stop()
    await Promise.all(this.#statuses)
    this.requestor.close()
    this.#notifier.close()
  }

  #newRequestor (url: string): Requestor {
    const { network, credentials, secret, httpTimeoutMs } = this.options
    return new Requestor({
      network, clock: this.clock, url, credentials, secret, timeoutMs: httpTimeoutMs, headers: { b3: `${this.info.traceId}-${randomBytes(8).toString('hex')}-1` }, record: request => this.#recorded(request)
    })
  }

  #recorded (request: RequestRecord): void {
    this.story.request(request)
    this.events.emit(request.kind, request)
  }
}
