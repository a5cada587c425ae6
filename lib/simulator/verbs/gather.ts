import type { Cancel } from '../clock.js'
import { deferred } from '../deferred.js'
import type { Key } from '../media/leg.js'
import type { Heard as Speech } from '../session/transcripts.js'
import { recordOf } from './application.js'
import { PlayTask, SayTask } from './sounds.js'
import { Task } from './task.js'

const DEFAULT_TIMEOUT_S = 15

/** `gather`: waits for the caller's keys, or for speech from the script (feature-server lib/tasks/gather.js). */
export class GatherTask extends Task {
  override readonly precondition = 'endpoint'
  #digits = ''
  #prompt: SayTask | PlayTask | undefined
  #timer: Cancel | undefined
  #betweenDigits: Cancel | undefined
  #stopSpeech: Cancel | undefined
  #results: Record<string, unknown> | undefined
  readonly #done = deferred()

  override async exec(): Promise<void> {
    const { session } = this
    const { say, play, listenDuringPrompt, partialResultHook } = this.data
    if (partialResultHook !== undefined) {
      this.note('partialResultHook is not simulated: the application gets only final results')
    }
    if (say !== undefined) this.#prompt = new SayTask(session, 'say', recordOf(say))
    else if (play !== undefined) this.#prompt = new PlayTask(session, 'play', recordOf(play))
    if (this.#prompt === undefined || listenDuringPrompt !== false) this.#listen()
    const prompted = this.#runPrompt(listenDuringPrompt === false)
    await this.#done.promise
    this.#stop()
    await prompted
    if (this.#results === undefined) return
    try {
      await this.performAction(this.#results)
    } catch (error) {
      session.error(error)
      session.post.complain(error)
    }
  }

  protected override onKill(): void {
    this.#done.resolve()
  }

  async #runPrompt(listenAfterwards: boolean): Promise<void> {
    try {
      await this.#prompt?.exec()
    } catch (error) {
      this.session.error(error)
    }
    if (this.killed || this.#results !== undefined) return
    if (listenAfterwards) this.#listen()
    this.session.listening()
    this.#startTimer()
    if (this.#input.includes('speech')) this.session.transcripts.invite()
  }

  get #input(): unknown[] {
    return Array.isArray(this.data.input) ? this.data.input : ['digits']
  }

  #listen(): void {
    const { session } = this
    if (this.#input.includes('digits')) session.leg.digits.add(this.#onDigit)
    if (this.#input.includes('speech')) this.#stopSpeech = session.transcripts.listen(this.#onSpeech)
  }

  #startTimer(): void {
    const seconds = this.data.timeout === undefined ? DEFAULT_TIMEOUT_S : Number(this.data.timeout)
    if (seconds > 0) this.#timer = this.#after(seconds, { reason: 'timeout' })
  }

  readonly #onDigit = ({ digit }: Key): void => {
    const { finishOnKey, numDigits, maxDigits, interDigitTimeout, minDigits, dtmfBargein } = this.data
    this.#betweenDigits?.()
    if (dtmfBargein !== false) this.#prompt?.kill('done')
    if (digit !== finishOnKey) this.#digits += digit
    const results = () => ({ digits: this.#digits, reason: 'dtmfDetected' })
    if (digit === finishOnKey || this.#digits.length === numDigits || this.#digits.length === maxDigits) {
      return this.#resolve(results())
    }
    // If minDigits is missing, jambonz compares with undefined, so interDigitTimeout has no effect.
    if (Number(interDigitTimeout) > 0 && this.#digits.length >= Number(minDigits)) {
      this.#timer?.()
      const { clock } = this.session
      this.#betweenDigits = clock.at(clock.now() + Number(interDigitTimeout) * 1000, () =>
        this.#resolve(results())
      )
    }
  }

  readonly #onSpeech = (speech: Speech): void => {
    // If there are keys and speech, the keys count.
    if (this.#digits === '') this.#resolve({ speech, reason: 'speechDetected' })
  }

  #after(seconds: number, results: Record<string, unknown>): Cancel {
    const { clock } = this.session
    return clock.at(clock.now() + seconds * 1000, () => this.#resolve(results))
  }

  #resolve(results: Record<string, unknown>): void {
    this.#results ??= results
    this.#done.resolve()
  }

  #stop(): void {
    this.session.leg.digits.delete(this.#onDigit)
    this.#stopSpeech?.()
    this.#timer?.()
    this.#betweenDigits?.()
    this.#prompt?.kill('done')
  }
}
