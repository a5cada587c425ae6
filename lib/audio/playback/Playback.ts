import { Type, type TSchema } from '@sinclair/typebox'
import type { Listen, OutputEntry } from '../../model/schema.js'
import { checkOptions, MAX_TIMER_MS } from '../../model/checkOptions.js'
import { ERR_AUDIO_MODE, ERR_OPTIONS } from '../../model/errors.js'
import { otherKindOf } from '../../pcm/fileKind.js'
import { SAMPLE_BYTES, type L16 } from '../../pcm/samples.js'
import { isWav } from '../../pcm/wavHeader.js'
import type { ListenSocket } from '../socket/ListenSocket.js'
import type { AudioMessage } from '../socket/messages.js'
import type { MarkEvent, MarkOutcome, PlayDone } from '../socket/types.js'
import { FilePlayback, type PlayOptions } from './FilePlayback.js'
import { HeardTrack } from './HeardTrack.js'
import { StreamingPlayback } from './StreamingPlayback.js'
import { Utterance, type UtteranceEnd, type UtteranceOptions } from './Utterance.js'

/** ms by which audio is sent ahead of its playout if the application asks for pacing */
const PACED_AHEAD = 400
/** maximum number of utterances in the `output` of one socket */
const MAX_LISTED = 500

export const PacedSchema = Type.Union(
  [Type.Literal(true), Type.Literal(false), Type.Number({ minimum: 0, maximum: MAX_TIMER_MS })],
  { description: 'ms by which audio is sent ahead of its playout' }
)
const UtteranceOptionsSchema = Type.Object(
  { id: Type.Optional(Type.String()), text: Type.Optional(Type.String()) } satisfies Record<
    keyof UtteranceOptions,
    TSchema
  >,
  { additionalProperties: false }
)
const PlayOptionsSchema = Type.Object(
  {
    id: Type.Optional(Type.String()),
    queue: Type.Optional(Type.Boolean()),
    sampleRate: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'Hz of raw L16 audio' }))
  } satisfies Record<keyof PlayOptions, TSchema>,
  { additionalProperties: false }
)

export interface PlaybackDeps {
  socket: ListenSocket
  listen: Listen
  /** Returns the bytes that the stream's Writable side holds. */
  backlog: () => number
  /** Writes audio to the stream: `stream.write()`. */
  write: (pcm: L16) => boolean
  onMark: (mark: MarkEvent) => void
  onPlayDone: (done: PlayDone) => void
  /** Returns true while the call is private. */
  isPrivate: () => boolean
  /**
   * Resolves in a later turn of the event loop, after the stream has emitted `drain` for writers that wait for it.
   * Methods that are called after the end of the listen settle then.
   */
  afterEnd: () => Promise<void>
}

/**
 * The audio that one listen plays to the caller. The verb sets its mode: streaming (`write`, `mark`, `utterance`) or
 * files (`play`). If the plugin does not know the verb, because another application sent it, the first use sets the
 * mode.
 */
export class Playback {
  /** The application's audio that the caller heard; undefined before the first use in streaming mode. */
  track: HeardTrack | undefined
  readonly output: OutputEntry[] = []
  readonly #deps: PlaybackDeps
  #streaming: StreamingPlayback | undefined
  #files: FilePlayback | undefined
  #utterance: Utterance | undefined
  #count: number
  #runs: number
  #aheadMs = 0
  #ended = false
  #hasLooked = false
  #hasWarned = false

  constructor(deps: PlaybackDeps) {
    this.#deps = deps
    // Earlier sockets of this listen may have had utterances, so the numbers in the ids of new utterances go
    // on from there.
    this.#count = this.#runs = deps.listen.output?.length ?? 0
  }

  /** Hz */
  get sampleRate(): number {
    const { bidirectional, sampleRate } = this.#deps.listen
    return bidirectional?.sampleRate ?? sampleRate
  }

  get writtenMs(): number {
    return this.#streaming?.writtenMs ?? 0
  }

  get sentMs(): number {
    return this.#streaming?.sentMs ?? 0
  }

  get playedMs(): number {
    return this.#streaming?.playedMs ?? 0
  }

  get aheadMs(): number {
    return this.#aheadMs
  }

  /**
   * Sets by how many ms audio is sent ahead of its playout. true stands for 400, false for as much as jambonz
   * accepts. Throws FST_JAMBONZ_OPTIONS for any other value.
   */
  pace(ahead: boolean | number): void {
    checkOptions(PacedSchema, ahead, 'stream.paced')
    this.#aheadMs = ahead === true ? PACED_AHEAD : Number(ahead)
    if (this.#streaming) this.#streaming.sender.aheadMs = this.#aheadMs
  }

  /** Takes a chunk to play. Passes FST_JAMBONZ_AUDIO_MODE to `done` if the verb is for files. */
  write(chunk: Buffer, done: (error?: Error) => void): void {
    const error = this.#modeError('write', 'streaming')
    if (error) return done(error)
    if (!this.#hasLooked) this.#lookAtFirst(chunk)
    this.#stream().write(chunk, done)
  }

  /** Sends a chunk at once. Returns false if the chunk has to go through `write()`. */
  sendNow(chunk: Buffer): boolean {
    if (!this.#hasLooked) this.#lookAtFirst(chunk)
    return this.#streaming?.sendNow(chunk) ?? false
  }

  flush(done: () => void): void {
    if (this.#streaming) this.#streaming.flush(done)
    else done()
  }

  /**
   * Begins an utterance, and ends the utterance before it. Throws FST_JAMBONZ_AUDIO_MODE if the verb is for
   * files, and FST_JAMBONZ_OPTIONS for a wrong option.
   */
  utterance(options: UtteranceOptions): Utterance {
    checkOptions(UtteranceOptionsSchema, options, 'options of stream.utterance()')
    const { id, text } = options
    const error = this.#modeError('utterance', 'streaming')
    if (error) throw error
    this.#utterance?.end()
    const utterance = this.#newUtterance(id ?? `utterance-${++this.#count}`, text)
    this.#utterance = utterance
    if (this.#ended) this.#deps.afterEnd().then(() => utterance.over('cleared'))
    else this.#stream().begin(utterance)
    return utterance
  }

  /** Begins or ends privacy for the audio that is written from now on. */
  privacy(isPrivate: boolean): void {
    // Audio that waits in the stream, which may be corked, was written before this change.
    const waits = this.#deps.backlog() > 0 && this.#modeError('write', 'streaming') === undefined
    const streaming = waits ? this.#stream(!isPrivate) : this.#streaming
    streaming?.privacy(isPrivate)
  }

  mark(name: string): Promise<MarkOutcome> {
    return this.#answered('mark', async () => {
      if (typeof name !== 'string') {
        throw new ERR_OPTIONS(`stream.mark(): the name must be a string, not ${typeof name}`)
      }
      const error = this.#modeError('mark', 'streaming')
      if (error) throw error
      return this.#ended ? 'cleared' : await this.#stream().mark(name)
    })
  }

  clearMarks(): void {
    this.#streaming?.clearMarks()
  }

  play(audio: Uint8Array, options: PlayOptions): Promise<PlayDone> {
    return this.#answered('play', async () => {
      checkOptions(PlayOptionsSchema, options, 'options of stream.play()')
      const error = this.#modeError('play', 'file')
      if (error) throw error
      return await this.#player().play(audio, options.sampleRate ?? this.sampleRate, options)
    })
  }

  clear(): void {
    if (this.#ended) return
    this.#files?.clear()
    if (this.#streaming || this.#deps.listen.bidirectional?.mode === 'streaming') this.#stream().clear()
  }

  /** Takes jambonz' report of a mark or of the end of a file. */
  message(message: AudioMessage): void {
    if (message.type === 'mark' && !this.#streaming?.reported(message.mark)) this.#deps.onMark(message.mark)
    else if (message.type === 'playDone') {
      this.#files?.reported(message.id, message.playbackMs, message.lastOffset)
    }
  }

  end(): void {
    this.#ended = true
    this.#streaming?.end()
    this.#files?.end()
  }

  // Calls `ask` and returns its result. After the end of the listen, and for errors, the promise settles in a
  // later turn, so that a loop of calls can't block the event loop. A rejection that the application ignores
  // does not end the process.
  #answered<T>(method: string, ask: () => Promise<T>): Promise<T> {
    const { afterEnd, socket } = this.#deps
    const answer = async () => {
      try {
        if (this.#ended) await afterEnd()
        return await ask()
      } catch (err) {
        socket.logger.warn({ err }, `${method}() failed`)
        await afterEnd()
        throw err
      }
    }
    const answered = answer()
    answered.catch(() => {})
    return answered
  }

  #newUtterance(id: string, text?: string): Utterance {
    return new Utterance({
      id,
      text,
      bytesPerMs: (this.sampleRate * SAMPLE_BYTES) / 1000,
      write: this.#deps.write,
      refuse: (isLate) => {
        if (isLate) {
          this.#warnOnce(`audio was written to utterance ${id} behind its end(): the caller does not hear it`)
        }
        this.#deps.afterEnd()
        return false
      },
      finish: (finished) => this.#streaming?.finish(finished),
      playedMs: () => this.playedMs,
      onOver: (over, end) => this.#list(over, end)
    })
  }

  // Warns if the first audio of the application is a file, which the caller hears as noise.
  #lookAtFirst(chunk: Buffer): void {
    this.#hasLooked = true
    const kind = isWav(chunk) ? 'a WAV with its header' : otherKindOf(chunk)?.is
    if (kind === undefined) return
    this.#warnOnce(
      `the application writes ${kind}, which the caller hears as noise: write the samples alone, as L16 at ${this.sampleRate} Hz`
    )
  }

  #warnOnce(text: string): void {
    if (!this.#hasWarned) this.#deps.socket.logger.warn(text)
    this.#hasWarned = true
  }

  #list({ id, text, atMs, writtenMs, isPrivate }: Utterance, { heardMs, outcome }: UtteranceEnd): void {
    if (this.output.length >= MAX_LISTED || atMs === undefined || writtenMs === 0) return
    this.output.push({ id, ...(text !== undefined && !isPrivate && { text }), atMs, heardMs, outcome })
  }

  #player(): FilePlayback {
    if (this.#files === undefined) {
      const { socket, onPlayDone } = this.#deps
      this.#files = new FilePlayback({
        send: (command) => socket.sendText(command),
        speed: () => socket.speed,
        onDone: onPlayDone,
        logger: socket.logger
      })
      if (this.#ended) this.#files.end()
      else socket.want('atOnce', true)
    }
    return this.#files
  }

  // Returns the playback in streaming mode. It begins with the first use, whose audio is private if `isPrivate` is true.
  #stream(isPrivate = this.#deps.isPrivate()): StreamingPlayback {
    if (this.#streaming !== undefined) return this.#streaming
    const { socket, listen, backlog, onMark } = this.#deps
    // The track begins here, so the sinks first get the frames that arrived before this moment. From now on,
    // messages are read at once, not in batches, because the times of jambonz' reports matter.
    socket.readNow()
    socket.want('atOnce', true)
    this.track = new HeardTrack({
      rate: this.sampleRate,
      sampleRate: listen.sampleRate,
      channels: listen.channels,
      mixType: listen.mixType,
      startMs: socket.counts.durationMs,
      earliest: socket.feed?.gaps.earliest ?? Infinity,
      receivedMs: () => socket.receivedMs,
      ping: (onPong) => socket.roundTrips.ask(onPong),
      roundTrip: () => socket.roundTrips.leastMs,
      logger: socket.logger
    })
    socket.addSink(this.track, true)
    this.#streaming = new StreamingPlayback({
      rate: this.sampleRate,
      socket,
      backlog,
      onMark,
      beginRun: () => this.#newUtterance(`speech-${++this.#runs}`),
      isPrivate,
      track: this.track,
      logger: socket.logger
    })
    this.#streaming.sender.aheadMs = this.#aheadMs
    if (this.#ended) this.#streaming.end()
    return this.#streaming
  }

  #modeError(method: string, needed: 'streaming' | 'file'): Error | undefined {
    const mode = this.#deps.listen.bidirectional?.mode
    if (mode === undefined || mode === needed) return undefined
    return needed === 'streaming'
      ? new ERR_AUDIO_MODE(
          method,
          `{ enabled: true, streaming: true, sampleRate: ${this.sampleRate} }` +
            (mode === 'file' ? ', or play() the audio as a file' : '')
        )
      : new ERR_AUDIO_MODE(
          method,
          `{ enabled: true }${mode === 'streaming' ? ' without streaming, or write() the audio' : ''}`
        )
  }
}
