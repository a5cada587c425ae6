import { randomUUID } from 'node:crypto'
import { speechLike } from '../audio/generate.js'
import { loadSpeech } from '../audio/load.js'
import type { Cancel } from '../clock.js'
import { deferred } from '../deferred.js'
import type { Hook } from '../application/requestor.js'
import { Leg } from '../media/leg.js'
import { CallInfo, type CallStatus } from '../session/callInfo.js'
import { recordOf } from './application.js'
import { ListenTask } from './listen.js'
import type { Precondition } from './task.js'
import { Task } from './task.js'
import { TranscribeTask } from './transcribe.js'

const RING_AFTER_MS = 200
const ANSWER_AFTER_MS = 1_000
const DEFAULT_TIMEOUT_S = 60
const CALLED_PITCH_HZ = 95
const CALLED_SPEECH_SECONDS = 3
/** ms after which the called party hangs up if neither party says anything. */
const CALLED_PATIENCE_MS = 1_000
const FAILURES: Record<number, CallStatus> = { 486: 'busy', 600: 'busy', 487: 'no-answer' }

/**
 * `dial`: calls a second leg with a callSid of its own, and bridges it to the caller (feature-server lib/tasks/dial.js,
 * place-outdial.js).
 */
export class DialTask extends Task {
  override readonly precondition: Precondition = this.data.answerOnBridge === true ? 'none' : 'endpoint'
  readonly #info: CallInfo
  readonly #results: Record<string, unknown> = {}
  readonly #nested: Task[] = []
  readonly #cancels: Cancel[] = []
  #leg: Leg | undefined
  #answeredAt: number | undefined
  #replaced = false
  #over = false
  readonly #done = deferred()

  constructor(...args: ConstructorParameters<typeof Task>) {
    super(...args)
    const { session, data } = this
    const { accountSid, applicationSid, from } = session.options.call
    const target = recordOf((data.target as unknown[] | undefined)?.[0])
    this.#info = new CallInfo({
      direction: 'outbound',
      callSid: randomUUID(),
      parentCallSid: session.info.callSid,
      accountSid,
      applicationSid,
      from: typeof data.callerId === 'string' ? data.callerId : from,
      to: String(target.number ?? target.name ?? target.sipUri ?? 'unknown'),
      traceId: session.info.traceId
    })
    if (data.tag !== undefined) this.#info.customerData = recordOf(data.tag)
  }

  override async exec(): Promise<void> {
    const { session } = this
    const { answer = true, answerAfterMs = ANSWER_AFTER_MS } = session.options.bLeg
    if ((this.data.target as unknown[]).length > 1) this.note('only the first target is simulated')
    for (const name of ['dtmfHook', 'referHook', 'onHoldHook', 'amd', 'dub']) {
      if (this.data[name] !== undefined) this.note(`${name} is not simulated`)
    }
    this.#status('trying', 100, 'Trying')
    this.#after(RING_AFTER_MS, () => this.#status('ringing', 180, 'Ringing'))
    this.#after((Number(this.data.timeout) || DEFAULT_TIMEOUT_S) * 1000, () =>
      this.#failed(487, 'Request Terminated')
    )
    if (typeof answer === 'number') this.#after(answerAfterMs, () => this.#failed(answer, 'Failed'))
    else if (answer) this.#after(answerAfterMs, () => this.#answered())
    await this.#done.promise
    try {
      await this.performAction(this.#results, !this.#replaced)
    } catch (error) {
      session.error(error)
    }
  }

  protected override onKill(reason: 'replaced' | 'released' | 'done'): void {
    this.#replaced = reason === 'replaced'
    if (this.#over) return
    if (this.#answeredAt === undefined) this.#failed(487, 'Request Terminated')
    else this.#hangUp()
  }

  #status(status: CallStatus, sipStatus: number, sipReason: string): void {
    this.session.post.notify(this.#info, status, sipStatus, sipReason)
    Object.assign(this.#results, {
      dialCallStatus: status,
      dialSipStatus: sipStatus,
      dialCallSid: this.#info.callSid,
      dialSbcCallid: this.#info.sbcCallid
    })
  }

  #answered(): void {
    const { session } = this
    this.#cancelTimers()
    this.#status('in-progress', 200, 'OK')
    this.#answeredAt = session.clock.now()
    session.answer()
    Object.assign(this.#results, {
      dialCallStatus: 'completed',
      dialSipStatus: 200,
      dialCallSid: this.#info.callSid
    })
    this.#bridge()
    this.#startNested()
    if (this.data.confirmHook !== undefined) this.#confirm(this.data.confirmHook as Hook)
    const timeLimit = Number(this.data.timeLimit)
    if (timeLimit > 0) this.#after(timeLimit * 1000, () => this.kill('done'))
    const { hangUpAfterMs } = session.options.bLeg
    if (hangUpAfterMs !== undefined) this.#after(hangUpAfterMs, () => this.kill('done'))
  }

  #bridge(): void {
    const { session } = this
    const { speech, hangUpAfterMs } = session.options.bLeg
    const leg = new Leg(session.leg.rate, session.options.keepAudio, session.options.includeStream)
    const said = speech ?? {
      pcm: speechLike(CALLED_SPEECH_SECONDS, leg.rate, CALLED_PITCH_HZ).samples,
      sampleRate: leg.rate
    }
    if (speech !== null) leg.speech.push(loadSpeech(said, leg.rate))
    leg.speaking = true
    leg.peer = session.leg
    session.leg.peer = leg
    session.legs.add(leg)
    this.#leg = leg
    if (hangUpAfterMs === undefined) this.#waitForSilence(leg)
    session.listening()
  }

  // The called party hangs up when both parties have been silent for some time.
  #waitForSilence(leg: Leg): void {
    let since = this.session.clock.now()
    const check = () => {
      if (leg.talking || this.session.caller.busy) since = this.session.clock.now()
      if (this.session.clock.now() - since >= CALLED_PATIENCE_MS) this.kill('done')
      else this.#after(100, check)
    }
    check()
  }

  #startNested(): void {
    const { session } = this
    const { listen, stream, transcribe } = this.data
    const data = listen ?? stream
    if (data !== undefined) {
      const task = new ListenTask(session, 'listen', recordOf(data))
      task.place = { leg: task.data.channel === 2 ? this.#leg! : session.leg, role: 'dial', bLeg: this.#info }
      this.#run(task)
    }
    if (transcribe !== undefined) {
      const task = new TranscribeTask(session, 'transcribe', recordOf(transcribe))
      task.nested = true
      this.#run(task)
    }
  }

  #run(task: Task): void {
    this.#nested.push(task)
    this.session.track(task.exec())
  }

  async #confirm(hook: Hook): Promise<void> {
    try {
      const reply = await this.session.post.hook('dial:confirm', hook, this.#info.toJSON())
      if (Array.isArray(reply) && reply.length > 0) {
        this.note('the verbs of confirmHook are not simulated: the called party accepts the call')
      }
    } catch (error) {
      this.session.error(error)
      this.kill('done')
    }
  }

  #failed(sipStatus: number, reason: string): void {
    this.#cancelTimers()
    this.#status(FAILURES[sipStatus] ?? 'failed', sipStatus, reason)
    this.#leave()
  }

  #hangUp(): void {
    const { session } = this
    this.#cancelTimers()
    this.#info.duration = Math.floor((session.clock.now() - this.#answeredAt!) / 1000)
    session.post.notify(this.#info, 'completed', this.#info.sipStatus, this.#info.sipReason)
    session.leg.peer = undefined
    session.legs.delete(this.#leg!)
    for (const task of this.#nested) task.kill('released')
    this.#leave()
  }

  #leave(): void {
    const { session } = this
    this.#over = true
    const durationMs = this.#answeredAt === undefined ? 0 : Math.round(session.clock.now() - this.#answeredAt)
    session.story.legs.push({
      callSid: this.#info.callSid,
      parentCallSid: session.info.callSid,
      status: this.#info.callStatus,
      durationMs
    })
    this.#done.resolve()
  }

  #after(ms: number, run: () => void): void {
    const { clock } = this.session
    this.#cancels.push(clock.at(clock.now() + ms, run))
  }

  #cancelTimers(): void {
    for (const cancel of this.#cancels.splice(0)) cancel()
  }
}
