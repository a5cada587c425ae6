import type { Listen } from '../../model/schema.js'
import { ERR_AUDIO_MODE } from '../../model/errors.js'
import type { ListenSocket } from '../socket/ListenSocket.js'
import type { AudioMessage } from '../socket/messages.js'
import { Player, type PlayOptions } from './Player.js'
import { PACED_AHEAD, Speaker } from './Speaker.js'
import type { MarkEvent, MarkOutcome, PlayDone } from '../socket/types.js'

export interface OutputEvents {
  onMark: (mark: MarkEvent) => void
  onPlayDone: (done: PlayDone) => void
  /** resolves a moment later: nothing that is asked for after the end is answered at once */
  afterEnd: () => Promise<void>
}

/**
 * Audio to the caller, in the one mode that the verb chose: streaming (`write`, `mark`) or files (`play`). Where the
 * verb is not known (a call set up elsewhere), whatever is tried first.
 */
export class Output {
  readonly #connection: ListenSocket
  readonly #listen: Listen
  readonly #backlog: () => number
  readonly #events: OutputEvents
  #speaker: Speaker | undefined
  #player: Player | undefined
  #aheadMs = 0
  #ended = false

  /** `backlog`: bytes that the stream's Writable side holds. */
  constructor(connection: ListenSocket, listen: Listen, backlog: () => number, events: OutputEvents) {
    this.#connection = connection
    this.#listen = listen
    this.#backlog = backlog
    this.#events = events
  }

  /** Hz */
  get sampleRate(): number {
    return this.#listen.bidirectional?.sampleRate ?? this.#listen.sampleRate
  }

  get sentMs(): number {
    return this.#speaker?.sentMs ?? 0
  }

  get playedMs(): number {
    return this.#speaker?.playedMs ?? 0
  }

  get aheadMs(): number {
    return this.#aheadMs
  }

  /** ms ahead of the caller's ear, true: 400, false: as much as jambonz bears */
  pace(ahead: boolean | number): void {
    this.#aheadMs = ahead === true ? PACED_AHEAD : Number(ahead)
    if (this.#speaker) this.#speaker.aheadMs = this.#aheadMs
  }

  /** Raises FST_JAMBONZ_AUDIO_MODE through `done`. */
  write(chunk: Buffer, done: (error?: Error) => void): void {
    const error = this.#modeError('write', 'streaming')
    if (error) done(error)
    else this.#speak().write(chunk, done)
  }

  flush(done: () => void): void {
    if (this.#speaker) this.#speaker.flush(done)
    else done()
  }

  mark(name: string): Promise<MarkOutcome> {
    return this.#answered('mark', async () => {
      const error = this.#modeError('mark', 'streaming')
      if (error) throw error
      return this.#ended ? 'cleared' : await this.#speak().mark(name)
    })
  }

  clearMarks(): void {
    this.#speaker?.clearMarks()
  }

  play(audio: Uint8Array, options: PlayOptions): Promise<PlayDone> {
    return this.#answered('play', async () => {
      const error = this.#modeError('play', 'file')
      if (error) throw error
      return await this.#files().play(audio, options.sampleRate ?? this.sampleRate, options)
    })
  }

  clear(): void {
    if (this.#ended) return
    this.#player?.clear()
    if (this.#speaker || this.#listen.bidirectional?.mode === 'streaming') this.#speak().clear()
  }

  // Nothing is answered without a turn of the event loop, and nobody need wait for the answer: a rejection that
  // nobody sees would end the process, and every call with it.
  #answered<T>(method: string, ask: () => Promise<T>): Promise<T> {
    const { afterEnd } = this.#events
    const answer = async () => {
      try {
        if (this.#ended) await afterEnd()
        return await ask()
      } catch (err) {
        this.#connection.logger.warn({ err }, `${method}() failed`)
        await afterEnd()
        throw err
      }
    }
    const answered = answer()
    answered.catch(() => {})
    return answered
  }

  /** A message of jambonz about what it plays. */
  message(message: AudioMessage): void {
    if (message.type === 'mark' && !this.#speaker?.reported(message.mark)) this.#events.onMark(message.mark)
    else if (message.type === 'playDone') {
      this.#player?.reported(message.id, message.playbackMs, message.lastOffset)
    }
  }

  end(): void {
    this.#ended = true
    this.#speaker?.end()
    this.#player?.end()
  }

  #files(): Player {
    if (this.#player === undefined) {
      this.#player = new Player(
        (command) => this.#connection.send(command),
        this.#events.onPlayDone,
        this.#connection.logger
      )
      if (this.#ended) this.#player.end()
      else this.#connection.live(true)
    }
    return this.#player
  }

  #speak(): Speaker {
    if (this.#speaker === undefined) {
      // What jambonz reports of it must not wait for a batch.
      this.#connection.live(true)
      this.#speaker = new Speaker({
        rate: this.sampleRate,
        send: (data, sent) => this.#connection.send(data, sent),
        unsent: () => this.#connection.unsent,
        backlog: this.#backlog,
        speed: () => this.#connection.speed,
        onMark: this.#events.onMark,
        logger: this.#connection.logger
      })
      this.#speaker.aheadMs = this.#aheadMs
    }
    return this.#speaker
  }

  #modeError(method: string, needed: 'streaming' | 'file'): Error | undefined {
    const mode = this.#listen.bidirectional?.mode
    if (mode === undefined || mode === needed) return undefined
    return needed === 'streaming'
      ? new ERR_AUDIO_MODE(
          method,
          `{ enabled: true, streaming: true, sampleRate: ${this.sampleRate} }${mode === 'file' ? ', or play() the audio as a file' : ''}`
        )
      : new ERR_AUDIO_MODE(
          method,
          `{ enabled: true }${mode === 'streaming' ? ' without streaming, or write() the audio' : ''}`
        )
  }
}
