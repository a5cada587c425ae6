import { recordOf } from './application.js'
import { ListenTask } from './listen.js'
import type { Precondition } from './task.js'
import { Task } from './task.js'
import { TranscribeTask } from './transcribe.js'

/** The properties of config that the simulator carries out. Other properties get a note in the story. */
const SIMULATED = new Set(['id', 'listen', 'transcribe', 'earlyMedia', 'notifyEvents'])

/**
 * `config`: starts and stops the listen and the transcription in the background (feature-server lib/tasks/config.js).
 */
export class ConfigTask extends Task {
  override readonly precondition: Precondition = this.#needsAudio() ? 'endpoint' : 'none'

  override async exec(): Promise<void> {
    const { session } = this
    if (this.data.notifyEvents !== undefined) session.notifyEvents = this.data.notifyEvents === true
    const given = this.data.listen ?? this.#stream
    const listen = given === undefined ? undefined : recordOf(given)
    if (listen?.enable === true) {
      const { enable, ...data } = listen
      const task = new ListenTask(session, 'listen', data)
      task.place = { leg: session.leg, role: 'background' }
      if (!session.background.start('listen', task)) {
        this.note('a background listen runs already, so this one does not start')
      }
    } else if (listen !== undefined && Object.keys(listen).length > 0) {
      session.background.stop('listen')
    }
    const transcribe = this.data.transcribe === undefined ? undefined : recordOf(this.data.transcribe)
    if (transcribe?.enable === true) {
      const { enable, ...data } = transcribe
      if (!session.background.start('transcribe', new TranscribeTask(session, 'transcribe', data))) {
        this.note('a background transcription runs already, so this one does not start')
      }
    } else if (transcribe !== undefined && Object.keys(transcribe).length > 0) {
      session.background.stop('transcribe')
    }
    if (this.data.stream !== undefined && this.#stream === undefined) {
      this.note('jambonz 0.9 ignores config.stream: use config.listen')
      session.problems.report('configStream', 'the application starts a background listen with config.stream')
    }
    const others = Object.keys(this.data).filter((key) => !SIMULATED.has(key) && key !== 'stream')
    if (others.length > 0) this.note(`not simulated, without effect: ${others.join(', ')}`)
  }

  get #stream(): unknown {
    return this.session.options.platform === '11' ? this.data.stream : undefined
  }

  #needsAudio(): boolean {
    const { listen = this.#stream, transcribe, bargeIn, record, amd, boostAudioSignal } = this.data
    return (
      recordOf(listen).url !== undefined ||
      recordOf(transcribe).enable === true ||
      recordOf(bargeIn).enable === true ||
      recordOf(record).action !== undefined ||
      amd !== undefined ||
      boostAudioSignal !== undefined
    )
  }
}
