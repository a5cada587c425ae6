import type { Cancel } from '../clock.js'
import { deferred } from '../deferred.js'
import type { Hook } from '../application/requestor.js'
import type { Heard } from '../session/transcripts.js'
import { parseApplication } from './application.js'
import { Task } from './task.js'

/** `transcribe`: sends each line of the script to the transcriptionHook (feature-server lib/tasks/transcribe.js). */
export class TranscribeTask extends Task {
  override readonly precondition = 'endpoint'
  /**
   * True for a transcription in the background or nested in listen or dial. jambonz then ignores the answer of its
   * hook.
   */
  nested = false
  #stop: Cancel | undefined
  readonly #done = deferred()

  override get openEnded(): boolean {
    return !this.killed
  }

  override async exec(): Promise<void> {
    const { session } = this
    this.#stop = session.transcripts.listen((heard) => this.#post(heard))
    session.listening()
    session.transcripts.invite(true)
    await this.#done.promise
  }

  protected override onKill(): void {
    this.#stop?.()
    this.#done.resolve()
  }

  async #post(speech: Heard): Promise<void> {
    const { session } = this
    const hook = this.data.transcriptionHook as Hook | undefined
    if (hook === undefined) return
    try {
      const reply = await session.post.hook('verb:hook', hook, {
        ...session.info.own(),
        b3: session.post.b3,
        speech
      })
      if (Array.isArray(reply) && reply.length > 0 && !this.nested) {
        session.replaceApplication(parseApplication(reply, session.options))
      }
    } catch (error) {
      session.error(error)
    }
  }
}
