import { tone } from '../audio/generate.js'
import { FRAME_MS, type Cancel } from '../clock.js'
import { deferred } from '../deferred.js'
import { soundAt, type EndpointListener, type PlayAudio } from '../fork/commands.js'
import { CRASHING_PATH, splitAddress } from '../fork/address.js'
import { Fork } from '../fork/fork.js'
import type { UpgradeFailure } from '../fork/upgrade.js'
import type { CallInfo } from '../session/callInfo.js'
import type { Session } from '../session/session.js'
import type { Key, Leg } from '../media/leg.js'
import { playDone } from '../media/player.js'
import type { ListenRecord, PlayDone } from '../types.js'
import { recordOf } from './application.js'
import { judgeEnd, judgeOpening, judgeRefusal, judgeVerb } from './judgeListen.js'
import { describeListen } from './listenMetadata.js'
import { Task } from './task.js'
import { TranscribeTask } from './transcribe.js'

const BEEP_MS = 500
const BEEP_HZ = 1_500
/** Units of a DTMF duration per ms, because RFC 2833 counts in samples of 8 kHz. */
const DTMF_UNITS_PER_MS = 8
const MAX_QUEUED = 11
/** ms between the server's end of one socket and the end of the call's other listens (measured: within 80 ms). */
const OTHERS_END_MS = 40
// Times of files, as measured on FreeSWITCH. A file is heard from the first frame after its start.
const FILE_START_MS = 75
const QUEUE_GAP_MS = 60
const PLAY_DONE_MS = 85
const KILL_MS = 10
// playDone comes 100 ms after a kill; until then the caller hears 80 ms of the next file.
const KILLED_GAP_MS = 20
const KILLED_PLAY_DONE_MS = 90

/**
 * The place in which a listen runs: in the foreground, nested in a dial, in the background (config), or as the account's recording.
 */
export interface ListenPlace {
  leg: Leg
  role: ListenRecord['role']
  bLeg?: CallInfo
  /** in a room: the member whose audio is streamed */
  member?: { callSid: string; memberId: string; room: string }
}

/** `listen` and `stream`: stream the audio of a leg to a websocket (feature-server lib/tasks/listen.js). */
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
  readonly #listener: EndpointListener = {
    playsFiles:
      this.data.disableBidirectionalAudio !== true &&
      recordOf(this.data.bidirectionalAudio).enabled !== false,
    playAudio: (audio) => this.#playAudio(audio),
    disconnected: () => this.kill('done'),
    failed: () => this.#finish()
  }

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
    place.leg.listenTasks.add(this.#listener)
    const transcribe = this.#transcribe()
    this.#start()
    await this.#done.promise
    transcribe?.kill('done')
    place.leg.digits.delete(this.#onDigit)
    place.leg.listenTasks.delete(this.#listener)
    if (place.role === 'background' && session.gone && session.options.faults.noHookAfterHangup === true) {
      return
    }
    try {
      await this.performAction(this.#results, place.role !== 'dial' && place.role !== 'room')
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
    const { report } = session.problems
    judgeVerb(this.data, record.url, report)
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
        intact: options.platform === '11',
        streamRate,
        faults: options.faults,
        keepAudio: options.keepAudio
      },
      {
        open: () => {
          judgeOpening(record, report)
          session.events.emit('listen:open', record)
        },
        refused: (failure) => this.#refused(failure),
        problem: (code, what) => report(code, what, record.url),
        dropped: () => this.#ended(),
        closed: () => this.#closed(),
        message: (message) => session.events.emit('message', { listen: record, message }),
        mark: (name, event) => this.#marked(name, event),
        playAudio: (audio) => this.#playEverywhere(audio),
        killAudio: () => clock.at(clock.now() + KILL_MS, () => place.leg.player.stop()),
        disconnect: () => this.#ended(),
        error: () => {
          this.#finish()
          this.#tellOthers(({ failed }) => failed())
        },
        crash: (why) => session.crash(why)
      }
    )
    this.#fork = fork
    place.leg.forks.add(fork)
    this.#startedAt = clock.now()
    session.listening()
    const maxLength = Number(this.data.maxLength)
    // Half a frame later, so that the frame of the last 20 ms is sent, whichever of both is due first.
    const lasts = maxLength * 1000 + FRAME_MS / 2
    if (maxLength > 0) this.#maxLength = clock.at(clock.now() + lasts, () => this.kill('done'))
    if (options.faults.hangUpDuringUpgrade === true) queueMicrotask(() => session.hangUp('caller'))
  }

  // Returns the tasks that get the events of this listen's fork. On 0.9 they are all listens of the leg.
  #listeners(): EndpointListener[] {
    const { platform } = this.session.options
    return platform === '11' ? [this.#listener] : [...this.place.leg.listenTasks]
  }

  #tellOthers(tell: (listener: EndpointListener) => void): void {
    const { clock } = this.session
    for (const listener of this.#listeners()) {
      if (listener !== this.#listener) clock.at(clock.now() + OTHERS_END_MS, () => tell(listener))
    }
  }

  // Handles a socket that the server has ended, or whose connection broke.
  #ended(): void {
    if (this.killed) return
    const { url } = this.#fork!.record
    const others = this.#listeners().length - 1
    if (others > 0) {
      this.session.problems.report(
        'othersEnded',
        `the end of this socket also ended ${others} other listen${others === 1 ? '' : 's'} of the call`,
        url
      )
    }
    this.kill('done')
    this.#tellOthers(({ disconnected }) => disconnected())
  }

  readonly #onDigit = ({ digit, holdMs }: Key): void => {
    if (this.data.passDtmf === true) {
      const duration = String(Math.round(holdMs * DTMF_UNITS_PER_MS))
      this.#fork?.send({ event: 'dtmf', dtmf: digit, duration })
    }
    if (digit !== this.data.finishOnKey) return
    this.#results.digits = digit
    this.kill('done')
  }

  #refused({ text, status, silent }: UpgradeFailure): void {
    const { record } = this.#fork!
    this.place.leg.forks.delete(this.#fork!)
    const error = `listen ${record.url} refused: ${text}${status === undefined ? '' : ` (status ${status})`}`
    judgeRefusal(record, this.session.problems.report, error)
    this.session.error(error)
    this.session.events.emit('listen:refused', record)
    // The module does not report some failures. The listen then goes on without a socket.
    if (silent) return
    this.#maxLength?.()
    this.#finish()
    this.#tellOthers(({ failed }) => failed())
  }

  #closed(): void {
    this.place.leg.forks.delete(this.#fork!)
    judgeEnd(this.#fork!, this.session.problems.report)
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

  #playEverywhere(audio: PlayAudio): void {
    const { report } = this.session.problems
    const { url } = this.#fork!.record
    const players = this.#listeners().filter(({ playsFiles }) => playsFiles)
    if (audio.samples !== undefined && players.length === 0) {
      report('playAudioDisabled', 'the server sent playAudio to a listen without bidirectional audio', url)
    }
    if (audio.samples !== undefined && players.length > 1) {
      report('playAudioRepeated', `a file was played ${players.length} times, once for each listen`, url)
    }
    for (const { playAudio } of players) playAudio(audio)
  }

  #playAudio(audio: PlayAudio): void {
    if (!audio.queue) {
      this.#queue.length = 0
      this.#queueRunning = false
      this.#play(audio, FILE_START_MS, () => {})
      return
    }
    if (this.#queue.length < MAX_QUEUED) this.#queue.push(audio)
    else {
      this.session.problems.report(
        'queueFull',
        `the server queued more than ${MAX_QUEUED} files`,
        this.#fork?.record.url
      )
    }
    if (!this.#queueRunning) this.#playQueue(FILE_START_MS)
  }

  #playQueue(delayMs: number): void {
    const next = this.#queue.shift()
    this.#queueRunning = next !== undefined
    if (next !== undefined) this.#play(next, delayMs, (gapMs) => this.#playQueue(gapMs))
  }

  /** Plays a file. Calls `done` with the ms after which the next file of the queue begins. */
  #play(audio: PlayAudio, delayMs: number, done: (gapMs: number) => void): void {
    const { clock } = this.session
    const { leg } = this.place
    const samples = soundAt(audio, leg.rate)
    if (samples === undefined) return done(delayMs)
    clock.at(clock.now() + delayMs, () => {
      // The listen was killed, and the module deleted the temporary file of this sound together with the fork.
      if (this.killed) return
      leg.player.start(samples, this.#fork, (played) => {
        const restMs = played.stopped ? 0 : (played.lastSamples * 1000) / leg.rate
        const [gapMs, doneMs] = played.stopped
          ? [KILLED_GAP_MS, KILLED_PLAY_DONE_MS]
          : [QUEUE_GAP_MS, PLAY_DONE_MS]
        const data = playDone(audio.id, played, samples.length, leg.rate)
        clock.at(clock.now() + restMs + doneMs, () => this.#played(data))
        done(restMs + gapMs)
      })
    })
  }

  #played(data: PlayDone): void {
    if (this.#fork === undefined || this.session.gone) return
    if (this.killed) return this.#playedAfterEnd(data)
    this.#fork.record.playDone.push(data)
    this.session.events.emit('playDone', { listen: this.#fork.record, data })
    this.#fork.send({ type: 'playDone', data })
  }

  // A file went on after its listen. jambonz sends the playDone to the fork of the same name, which is now that of the
  // next listen (feature-server lib/tasks/listen.js, _playAudio). Without such a fork the command fails.
  #playedAfterEnd(data: PlayDone): void {
    const { leg, role } = this.place
    const next = [...leg.forks].find(
      (fork) => fork !== this.#fork && !isBackground(role) && !isBackground(fork.record.role)
    )
    if (next !== undefined) return next.send({ type: 'playDone', data })
    this.session.uncaught('the listen had ended before its file, so jambonz could not send the playDone')
  }
}

// The forks of these listens have names of their own, so they can run at the same time as other forks.
function isBackground(role: ListenRecord['role']): boolean {
  return role !== 'listen' && role !== 'dial'
}
