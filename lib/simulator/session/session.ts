import type { Clock } from '../clock.js'
import { deferred, type Deferred } from '../deferred.js'
import { reasonOf } from '../errors.js'
import type { EventLog } from '../events.js'
import { Leg } from '../media/leg.js'
import type { ResolvedOptions } from '../options.js'
import { Problems } from '../problems.js'
import type { VerbData } from '../verbs/application.js'
import { makeTask } from '../verbs/index.js'
import { ListenTask } from '../verbs/listen.js'
import type { Task } from '../verbs/task.js'
import { BackgroundTasks } from './background.js'
import { CallInfo } from './callInfo.js'
import { Caller } from './caller.js'
import { Commands } from './commands.js'
import { firstWebhook } from './firstWebhook.js'
import { judgeRequest } from './judgeRequest.js'
import { PostOffice } from './postOffice.js'
import { Story } from './story.js'
import { Transcripts } from './transcripts.js'

const MAX_SIMULATED_MS = 3_600_000
/** The most verbs of a call. An application that answers every hook with the same verbs would never end. */
const MAX_VERBS = 1_000
const MAX_RINGING_MS = 60_000

/** A call in jambonz: runs the application's verbs on the caller's leg (feature-server lib/session/call-session.js). */
export class Session {
  readonly options: ResolvedOptions
  readonly clock: Clock
  readonly events: EventLog
  readonly story = new Story()
  readonly problems: Problems
  readonly info: CallInfo
  readonly leg: Leg
  readonly caller: Caller
  /** The caller's leg, and during a dial also the called party's leg. */
  readonly legs = new Set<Leg>()
  readonly transcripts: Transcripts
  readonly post: PostOffice
  /** True if the application asked for an event at the start and end of each verb (config.notifyEvents). */
  notifyEvents = false
  gone = false
  answeredAt: number | undefined
  #tasks: Task[] = []
  #current: Task | undefined
  readonly background: BackgroundTasks
  // Promises that no verb awaits, but the end of the call does: status events, nested tasks and background tasks.
  readonly #loose = new Set<Promise<void>>()
  readonly commands: Commands
  // Set while no verb is left and the call waits for commands.
  #idle: Deferred | undefined

  constructor(options: ResolvedOptions, clock: Clock, events: EventLog) {
    this.options = options
    this.clock = clock
    this.events = events
    this.problems = new Problems(
      () => clock.now(),
      (problem) => events.emit('problem', problem)
    )
    this.info = new CallInfo(options.call)
    this.leg = new Leg(options.callRate, options.keepAudio, options.includeStream)
    this.leg.speech.push(options.speech)
    this.legs.add(this.leg)
    this.transcripts = new Transcripts(clock, options.transcripts)
    this.caller = new Caller({
      leg: this.leg,
      clock,
      script: options,
      hangUp: () => this.hangUp('caller'),
      pressed: (digit) => events.emit('dtmf', { digit })
    })
    this.post = new PostOffice({
      options,
      clock,
      info: this.info,
      track: (work) => this.track(work),
      record: (request, failure) => {
        this.story.request(request)
        judgeRequest(request, this.problems.report, failure)
        events.emit(request.kind, request)
      },
      opened: (socket) => {
        this.story.applicationSocket(socket)
        events.emit('application:open', socket)
      },
      closed: (socket) => events.emit('application:close', socket),
      command: (command) => this.commands.run(command),
      reconnectFailed: (error) => {
        this.uncaught(`session:reconnect failed: ${reasonOf(error)}`)
        this.hangUp('jambonz')
      },
      uncaught: (what) => this.uncaught(what),
      error: (text) => this.error(text)
    })
    this.commands = new Commands(this)
    this.background = new BackgroundTasks({
      clock,
      track: (work) => this.track(work),
      report: this.problems.report,
      forgets: options.platform === '0.9'
    })
  }

  /** Runs the call, from the webhook to the last status event. Never rejects; the story has the errors. */
  async run(): Promise<void> {
    try {
      await this.options.ready()
      this.#tasks = await this.#firstTasks()
      if (this.options.call.direction === 'inbound' && !this.gone) {
        this.post.notify(this.info, 'trying', 100, 'Trying')
      }
      await this.#runTasks()
    } catch (error) {
      this.error(error)
    }
    await this.#end()
  }

  /** Adds a promise that no verb awaits, but the end of the call does. */
  track(work: Promise<unknown>): void {
    const settled = work
      .then(
        () => {},
        (error) => this.error(error)
      )
      .finally(() => this.#loose.delete(settled))
    this.#loose.add(settled)
  }

  /** Reports an error that the feature server does not catch, which ends the process of an older one. */
  uncaught(what: string): void {
    if (this.options.platform === '0.9') this.problems.report('featureServerCrash', what)
  }

  /** Starts the script, because the application listens for the first time. */
  listening(): void {
    this.caller.begin()
    this.transcripts.begin()
  }

  /** Answers the call, if it is not answered yet. The audio begins then. */
  answer(): void {
    if (this.answeredAt !== undefined || this.gone) return
    this.answeredAt = this.clock.now()
    this.post.notify(this.info, 'in-progress', 200, 'OK')
    this.caller.answered()
    this.clock.startTicks(this.#tick, this.#busy)
    const { hangUpAfterMs, recordAllCalls, outsideListen, platform } = this.options
    if (recordAllCalls !== undefined) this.#recordCall(recordAllCalls)
    if (outsideListen !== undefined && platform === '11') this.#listenFromOutside(outsideListen)
    if (hangUpAfterMs !== undefined && hangUpAfterMs < Infinity) {
      this.clock.at(this.answeredAt + hangUpAfterMs, () => this.hangUp('caller'))
    }
  }

  /** Replaces the remaining verbs, and ends the present one. */
  replaceApplication(verbs: VerbData[]): void {
    if (this.gone) return
    this.#tasks = this.#tasksOf(verbs)
    this.#current?.kill('replaced')
    this.#idle?.resolve()
  }

  /** Adds verbs after the remaining ones. */
  appendVerbs(verbs: VerbData[]): void {
    this.#tasks.push(...this.#tasksOf(verbs))
    this.#idle?.resolve()
  }

  /** The present verb. */
  get current(): Task | undefined {
    return this.#current
  }

  hangUp(by: 'caller' | 'jambonz'): void {
    if (this.gone) return
    this.story.hangupBy = by
    this.#complete(by)
    this.events.emit('hangup', { by })
    this.gone = true
    this.#current?.kill('released')
    this.#idle?.resolve()
  }

  /** Crashes the media server: its sockets break without a close frame, and the call ends. */
  crash(why: string): void {
    this.error(`the media server crashed: ${why}`)
    for (const leg of this.legs) for (const fork of [...leg.forks]) fork.drop()
    this.hangUp('jambonz')
  }

  error(error: unknown): void {
    const text = reasonOf(error)
    this.story.error(text)
    this.events.emit('error', { text })
  }

  /** Ends the call at once, after its deadline or an abort. */
  abort(why: string): void {
    this.error(why)
    for (const leg of this.legs) for (const fork of [...leg.forks]) fork.drop()
    this.hangUp('caller')
    this.track(this.post.close())
  }

  async #firstTasks(): Promise<Task[]> {
    try {
      const verbs = await firstWebhook(this)
      if (verbs.length > 0) return this.#tasksOf(verbs)
      throw new Error('no application: the webhook answered without verbs, so jambonz declines the call')
    } catch (error) {
      await this.post.reject()
      throw error
    }
  }

  #tasksOf(verbs: VerbData[]): Task[] {
    return verbs.map(({ verb, data }) => makeTask(this, verb, data))
  }

  async #runTasks(): Promise<void> {
    while (this.#tasks.length > 0 && !this.gone) {
      const task = this.#tasks.shift()!
      if (this.story.verbs.length >= MAX_VERBS) {
        throw new Error(`the application has sent more than ${MAX_VERBS} verbs: the simulator hung up`)
      }
      const { record } = task
      record.startedAtMs = Math.round(this.clock.now())
      this.story.verb(record)
      if (task.precondition === 'endpoint' && task.data.earlyMedia !== true) this.answer()
      this.events.emit('verb', record)
      this.#notifyVerb('starting', task)
      if (task.precondition === 'answered' && this.answeredAt === undefined) {
        record.note = 'skipped: the call was not answered'
      } else {
        this.#current = task
        await task.exec()
        this.#current = undefined
      }
      record.endedAtMs = Math.round(this.clock.now())
      this.#notifyVerb('finished', task)
      if (this.#tasks.length === 0 && !this.gone && this.post.takesCommands) await this.#awaitCommands()
    }
  }

  #notifyVerb(event: 'starting' | 'finished', { verb, data }: Task): void {
    if (this.notifyEvents) this.post.event('verb:status', { event, id: data.id, name: verb })
  }

  // Over a websocket the call goes on after its last verb, and waits for commands.
  async #awaitCommands(): Promise<void> {
    const idle = deferred()
    this.#idle = idle
    const { patienceMs } = this.options
    // Before the answer, the ringing ends after some time. After the answer, the caller's patience ends the call.
    const ringsOut =
      this.answeredAt === undefined
        ? this.clock.timeout(Math.min(patienceMs, MAX_RINGING_MS), () => this.hangUp('caller'))
        : undefined
    await idle.promise
    ringsOut?.()
    this.#idle = undefined
  }

  readonly #busy = (): boolean => {
    if (this.caller.busy) return true
    for (const leg of this.legs) if (leg.talking || leg.addressed) return true
    return false
  }

  readonly #tick = (now: number): void => {
    if (now > MAX_SIMULATED_MS) {
      this.error('the call lasted an hour of simulated time: hung up')
      return this.hangUp('caller')
    }
    for (const leg of this.legs) {
      leg.startedAt ??= now
      leg.speak()
    }
    for (const leg of this.legs) leg.listen()
    this.caller.tick(this.#idle !== undefined || this.#current?.openEnded === true)
  }

  #complete(by: 'caller' | 'jambonz'): void {
    this.info.callTerminationBy = by
    if (this.answeredAt === undefined) {
      if (by === 'caller') this.post.notify(this.info, 'no-answer', 487, 'Request Terminated')
      return
    }
    this.info.duration = Math.floor((this.clock.now() - this.answeredAt) / 1000)
    this.background.stop('record')
    this.post.notify(this.info, 'completed', this.info.sipStatus, this.info.sipReason)
  }

  async #end(): Promise<void> {
    if (!this.gone && this.answeredAt === undefined) {
      this.error('jambonz declines the call (603): no verb answered it')
    }
    this.hangUp('jambonz')
    this.clock.stopTicks()
    this.leg.player.stopAll()
    this.leg.speech.clear()
    this.background.stopAll()
    for (const leg of this.legs) for (const fork of [...leg.forks]) await fork.end()
    while (this.#loose.size > 0) await Promise.all(this.#loose)
    await this.post.close()
  }

  #listenFromOutside({ url, metadata, wsAuth }: NonNullable<ResolvedOptions['outsideListen']>): void {
    const task = new ListenTask(this, 'listen', {
      url,
      ...(metadata !== undefined && { metadata }),
      ...(wsAuth !== undefined && { wsAuth })
    })
    task.place = { leg: this.leg, role: 'outside' }
    this.background.start('outside', task)
  }

  #recordCall({ url, wsAuth }: NonNullable<ResolvedOptions['recordAllCalls']>): void {
    const task = new ListenTask(this, 'listen', {
      url,
      disableBidirectionalAudio: true,
      mixType: 'stereo',
      passDtmf: true,
      ...(wsAuth !== undefined && { wsAuth })
    })
    task.place = { leg: this.leg, role: 'record' }
    this.background.start('record', task)
  }
}
