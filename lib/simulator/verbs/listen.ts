import { tone } from '../audio/generate.js'
import type { Cancel } from '../clock.js'
import { deferred } from '../deferred.js'
import { soundAt, type PlayAudio } from '../fork/commands.js'
import { CRASHING_PATH, splitAddress } from '../fork/address.js'
import { Fork } from '../fork/fork.js'
import type { CallInfo } from '../session/callInfo.js'
import type { Session } from '../session/session.js'
import type { Leg } from '../media/leg.js'
import type { ListenRecord, PlayDone } from '../types.js'
import { recordOf } from './application.js'
import { describeListen } from './listenMetadata.js'
import { Task } from './task.js'
import { TranscribeTask } from './transcribe.js'

const BEEP_MS = 500
const BEEP_HZ = 1_500
const DTMF_DURATION = '1600'
const MAX_QUEUED = 11
const READ_AHEAD_MS = 20

/** Where a listen runs: in the foreground on the call's own leg, nested in a dial, in the background (config), or for the account's recording. */
export interface ListenPlace {
  leg: Leg
  role: ListenRecord['role']
  bLeg?: CallInfo
}

/** `listen` / `stream` (feature-server lib/tasks/listen.js). */
export class ListenTask extends Task {
  override readonly precondition = 'endpoint'
  place: ListenPlace
  readonly #results: { dialCallDuration?: number; digits?: string } = {}
  readonly #queue: PlayAudio[] = []
  #queueRunning = false
  #fork: Fork | undefined
  #startedAt: number | undefined
  #maxLength: Cancel | undefined
  #over = false
  readonly #done = deferred()

  constructor(session: Session, verb: string, data: Record<string, unknown>) {
    super(session, verb, data)
    this.place = { leg: session.leg, role: 'listen' }
  }

  override get openEnded(): boolean {
    return !this.#over && (this.#fork?.record.openedAtMs ?? this.#fork?.record.refused) !== undefined
  }

  override async exec(): Promise<void> {
    const { session, place } = this
    if (this.data.playBeep === true) await place.leg.player.play(tone(BEEP_MS, BEEP_HZ, place.leg.rate))
    if (session.gone) return
    if (!isBackground(place.role) && [...place.leg.forks].some((fork) => !isBackground(fork.record.role))) {
      return session.error(
        'listen: a fork of the same name still runs on this leg (the server\'s "error" leaves it there): not started'
      )
    }
    place.leg.digits.add(this.#onDigit)
    const transcribe = this.#transcribe()
    this.#start()
    await this.#done.promise
    transcribe?.kill('done')
    place.leg.digits.delete(this.#onDigit)
    if (place.role === 'background' && session.gone && session.options.faults.noHookAfterHangup === true) {
      return
    }
    try {
      await this.performAction(this.#results, place.role !== 'dial')
    } catch (error) {
      session.error(error)
    }
  }

  protected override onKill(): void {
    this.#maxLength?.()
    this.#queue.length = 0
    if (this.#startedAt !== undefined) {
      this.#results.dialCallDuration = Math.floor((this.session.clock.now() - this.#startedAt) / 1000)
    }
    this.#stopFork()
    this.#finish()
  }

  #finish(): void {
    this.#over = true
    this.#done.resolve()
  }

  #transcribe(): Task | undefined {
    if (this.data.transcribe === undefined) return undefined
    const task = new TranscribeTask(this.session, 'transcribe', recordOf(this.data.transcribe))
    task.nested = true
    this.session.track(task.exec())
    return task
  }

  #start(): void {
    const { session, place } = this
    const { options, clock } = session
    const { record, frame, credentials, streamRate } = describeListen(session, place, this.data)
    if (credentials !== undefined) place.leg.credentials = credentials
    session.story.listen(record)
    const { path } = splitAddress(record.url) ?? { path: '' }
    if (path.length >= CRASHING_PATH) {
      return session.crash(`a socket path of ${path.length} characters (recursive std::regex)`)
    }
    const fork = new Fork(
      {
        network: options.network,
        clock,
        record,
        metadataFrame: frame,
        credentials: place.leg.credentials,
        callRate: place.leg.rate,
        streamRate,
        faults: options.faults,
        keepAudio: options.keepAudio
      },
      {
        open: () => session.events.emit('listen:open', record),
        refused: (text, status, silent) => this.#refused(text, status, silent),
        dropped: () => this.kill('done'),
        closed: () => this.#closed(),
        message: (message) => session.events.emit('message', { listen: record, message }),
        mark: (name, event) => this.#marked(name, event),
        playAudio: (audio) => this.#playAudio(audio),
        killAudio: () => place.leg.player.stop(),
        disconnect: () => this.kill('done'),
        error: () => this.#finish(),
        crash: (why) => session.crash(why)
      }
    )
    this.#fork = fork
    place.leg.forks.add(fork)
    this.#startedAt = clock.now()
    session.listening()
    const maxLength = Number(this.data.maxLength)
    if (maxLength > 0) this.#maxLength = clock.at(clock.now() + maxLength * 1000, () => this.kill('done'))
    if (options.faults.hangUpDuringUpgrade === true) queueMicrotask(() => session.hangUp('caller'))
  }

  readonly #onDigit = (digit: string): void => {
    if (this.data.passDtmf === true) this.#fork?.send({ event: 'dtmf', dtmf: digit, duration: DTMF_DURATION })
    if (digit !== this.data.finishOnKey) return
    this.#results.digits = digit
    this.kill('done')
  }

  #refused(text: string, status: number | undefined, silent: boolean): void {
    this.place.leg.forks.delete(this.#fork!)
    this.session.error(
      `listen ${this.#fork!.record.url} refused: ${text}${status === undefined ? '' : ` (status ${status})`}`
    )
    this.session.events.emit('listen:refused', this.#fork!.record)
    // of some failures the module tells nobody: the listen goes on without a socket
    if (silent) return
    this.#maxLength?.()
    this.#finish()
  }

  #closed(): void {
    this.place.leg.forks.delete(this.#fork!)
    this.session.events.emit('listen:close', this.#fork!.record)
  }

  #marked(name: string, event: 'playout' | 'cleared'): void {
    const { session } = this
    const { record } = this.#fork!
    const mark = { name, event, atMs: Math.round(session.clock.now()) }
    record.marks.push(mark)
    session.story.marks.push(mark)
    session.events.emit('mark', { listen: record, name, event })
  }

  #stopFork(): void {
    const fork = this.#fork
    if (fork === undefined) return
    const { clock, options } = this.session
    const { hookBeforeCloseMs } = options.faults
    if (hookBeforeCloseMs === undefined) fork.stop()
    else clock.at(clock.now() + hookBeforeCloseMs, () => fork.stop())
  }

  #playAudio(audio: PlayAudio): void {
    if (
      this.data.disableBidirectionalAudio === true ||
      recordOf(this.data.bidirectionalAudio).enabled === false
    ) {
      return
    }
    if (!audio.queue) {
      this.#queue.length = 0
      this.#queueRunning = false
      this.#play(audio)
      return
    }
    if (this.#queue.length < MAX_QUEUED) this.#queue.push(audio)
    if (!this.#queueRunning) this.#playQueue()
  }

  async #playQueue(): Promise<void> {
    this.#queueRunning = true
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      await this.#play(next)
    }
    this.#queueRunning = false
  }

  async #play(audio: PlayAudio): Promise<void> {
    const { leg } = this.place
    const samples = soundAt(audio, leg.rate)
    if (samples === undefined) return
    const played = await leg.player.play(samples)
    const read = played.samples + (played.stopped ? (READ_AHEAD_MS * leg.rate) / 1000 : 0)
    const ms = Math.round((read * 1000) / leg.rate)
    const data: PlayDone = {
      ...(audio.id !== undefined && { id: audio.id }),
      playbackSeconds: String(Math.floor(ms / 1000)),
      playbackMilliseconds: String(ms),
      playbackLastOffsetPos: String(read)
    }
    if (this.killed || this.#fork === undefined) return
    this.#fork.record.playDone.push(data)
    this.session.events.emit('playDone', { listen: this.#fork.record, data })
    this.#fork.send({ type: 'playDone', data })
  }
}

// their forks have names of their own, so they run beside others
function isBackground(role: ListenRecord['role']): boolean {
  return role === 'background' || role === 'record'
}
