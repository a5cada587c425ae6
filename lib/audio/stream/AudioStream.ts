import type { Readable } from 'node:stream'
import { checkOptions } from '../../model/checkOptions.js'
import { ERR_AUDIO_CHANNEL, ERR_AUDIO_CLOSED, ERR_OPTIONS } from '../../model/errors.js'
import {
  PauseModeSchema,
  type AudioCounts,
  type Call,
  type Listen,
  type MixType,
  type PauseMode
} from '../../model/schema.js'
import type { Playback } from '../playback/Playback.js'
import { methodFor, refusalOf } from '../socket/messages.js'
import type { StreamEnd } from '../socket/types.js'
import { CHANNEL_NAMES, ChannelReader, sideOfVoice, type ChannelName } from './readers.js'
import type { LiveStream, RecordingControl } from './LiveStream.js'
import { SpeakingDuplex } from './SpeakingDuplex.js'

const LIVE = new WeakMap<AudioStream, LiveStream>()

/** Returns the inner view of a stream. Throws a TypeError for any other object. */
export function liveOf(stream: AudioStream): LiveStream {
  const live = LIVE.get(stream)
  if (live === undefined) throw new TypeError('not a stream of fastify-jambonz-listen')
  return live
}

/**
 * The audio of one listen, a Duplex of raw L16 little-endian PCM. Reading gives the audio of the call; the
 * caller hears the audio that is written. Until the handler has settled, up to 10 s of audio are kept for a
 * reader. A slow reader pauses the socket. Destroying the stream, also by leaving a `for await`, ends the
 * listen.
 */
export class AudioStream extends SpeakingDuplex {
  /** The call as it was when the audio began. */
  readonly call: Call
  /**
   * The metadata of the first frame, overlaid by the verb's own `metadata`, which is right even if the first
   * frame is broken.
   */
  readonly metadata: Record<string, unknown> | undefined
  readonly #live: LiveStream
  #warned = false

  /** Only for the plugin. Applications get their streams from the plugin. */
  constructor(live: LiveStream, metadata: Record<string, unknown> | undefined) {
    super((err) => live.socket.listenerThrew(err))
    this.#live = live
    this.call = live.call as Call
    this.metadata = metadata
    LIVE.set(this, live)
    live.writable = {
      over: (cutOff) => this.speechOver(cutOff),
      afterEnd: this.afterEnd,
      endWhenRead: this.readToEnd
    }
    this.setMaxListeners(0) // any number of taps
    this.on('newListener', (event) => this.#listened(event))
    this.on('error', (err) => {
      if (!(err instanceof ERR_AUDIO_CLOSED)) live.socket.logger.error({ err }, 'audio stream failed')
    })
  }

  /** The present state of the listen. */
  get listen(): Listen {
    return this.#live.listen as Listen
  }

  get callSid(): string {
    return this.call.callSid
  }

  /** Hz of the audio that is read */
  get sampleRate(): number {
    return this.listen.sampleRate
  }

  get channels(): number {
    return this.listen.channels
  }

  get mixType(): MixType {
    return this.listen.mixType
  }

  /** Counts of the audio that has arrived so far. */
  get counts(): AudioCounts {
    return this.#live.counts
  }

  /** The key that ended the listen. */
  get digits(): string | undefined {
    return this.#live.digits
  }

  /** Controls the recording of this stream; undefined if the route does not record. */
  get recording(): RecordingControl | undefined {
    return this.#live.recording
  }

  /** Resolves when the socket has closed and its last frame is delivered. Never rejects. */
  get done(): Promise<StreamEnd> {
    return this.#live.done
  }

  /** true from `beginPrivacy()` or `recording.pause()` to the end of the pause. */
  get isPrivate(): boolean {
    return this.#live.privacy !== false
  }

  /**
   * Begins privacy, for example for a card number. From now on the audio is not recorded, monitors can't hear
   * it, and keys are marked `private`. Only this stream's readers and listeners get the audio. A handover
   * does not end privacy. `mode`: how the recording shows the pause. Default: silence. Throws
   * FST_JAMBONZ_OPTIONS for any other mode.
   */
  beginPrivacy(mode: PauseMode = 'silence'): void {
    checkOptions(PauseModeSchema, mode, 'stream.beginPrivacy(): the mode')
    this.#live.beginPrivacy(mode)
  }

  /** Ends privacy. Audio that was said in private and arrives late stays private. */
  endPrivacy(): void {
    this.#live.endPrivacy()
  }

  /**
   * Returns one side of a stereo stream as mono L16, which is kept for its reader from now on. A mono stream
   * has only `caller`, or only `callee` on the leg of the called party. Throws FST_JAMBONZ_AUDIO_CHANNEL for
   * any other channel.
   */
  channel(name: ChannelName): Readable {
    const side = sideOfVoice(name, this.listen)
    const mono = this.mixType === 'mono' && side === 'caller'
    if (!CHANNEL_NAMES.includes(name)) {
      throw new ERR_AUDIO_CHANNEL(`there is no channel "${name}": it is 'caller' or 'callee'`)
    }
    if (this.mixType !== 'stereo' && !mono) {
      throw new ERR_AUDIO_CHANNEL(
        `a ${this.mixType} stream has no channel "${name}": the listen verb must have mixType: 'stereo'`
      )
    }
    return new ChannelReader(mono ? 'whole' : side, this.#live)
  }

  /**
   * Sends a JSON object of your own to jambonz. Throws FST_JAMBONZ_OPTIONS for any other value, and for a playAudio that
   * would crash the media server. Logs a warning, once, if the stream has a method for the message.
   */
  send(json: unknown): void {
    const text: string | undefined = JSON.stringify(json)
    if (text === undefined) throw new ERR_OPTIONS(`stream.send(): ${typeof json} is no JSON`)
    const refusal = refusalOf(json)
    if (refusal !== undefined) throw new ERR_OPTIONS(`stream.send(): ${refusal}`)
    const method = methodFor(json)
    if (method !== undefined && !this.#warned) {
      this.#warned = true
      this.#live.socket.logger.warn(
        `stream.send() sent a message that the plugin does not notice: call stream.${method} in its place, or recording, marks and end reason may be wrong`
      )
    }
    this.#live.socket.sendText(text)
  }

  /** Ends the listen. jambonz closes the socket and calls the actionHook. */
  disconnect(): Promise<StreamEnd> {
    return this.#live.end('disconnected')
  }

  // Node does not emit `removeListener` for a stream's last listener of an event, so these methods are
  // overridden.
  override removeListener(event: string | symbol, listener: (...args: never[]) => void): this {
    super.removeListener(event, listener as (...args: unknown[]) => void)
    return this.#unlistened()
  }

  override off(event: string | symbol, listener: (...args: never[]) => void): this {
    return this.removeListener(event, listener)
  }

  override removeAllListeners(...events: [event?: string | symbol]): this {
    super.removeAllListeners(...events)
    return this.#unlistened()
  }

  override _read(): void {
    this.#live.reader.wanted()
  }

  override read(size?: number): Buffer | null
  // No call matches this signature. With it, the stream has the type of Node's streams, whose read() hides the null.
  override read(size?: number): Buffer
  override read(size?: number): Buffer | null {
    if (size !== 0) this.#live.readBy()
    return super.read(size) as Buffer | null
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // Leaving a `for await`, or aborting a pipeline, is no failure.
    const failed = error?.name === 'AbortError' ? null : advised(error)
    this.#live.destroyed(failed)
    callback(failed)
  }

  protected get playback(): Playback {
    return this.#live.playback
  }

  protected listenerThrew(err: unknown): void {
    this.#live.socket.listenerThrew(err)
  }

  #listened(event: string | symbol): void {
    if (event === 'data' || event === 'readable') this.#live.readBy()
    else if (event === 'audio') this.#live.tap(true)
    else if (event === 'dtmf' || event === 'message') this.#live.hear(true)
    if (event === 'dtmf' && this.listenerCount('dtmf') === 0) this.#tellOfKeys()
  }

  // Without the verb of the listen, as for one that another application asked for, its keys may come.
  #tellOfKeys(): void {
    if (this.listen.bidirectional === undefined || this.listen.passDtmf === true) return
    this.#live.socket.logger.warn(
      'a listener waits for keys, but jambonz sends none: set passDtmf: true in the listen verb'
    )
  }

  #unlistened(): this {
    if (this.listenerCount('audio') === 0) this.#live.tap(false)
    if (this.listenerCount('dtmf') + this.listenerCount('message') === 0) this.#live.hear(false)
    return this
  }
}

/** Returns the error of a write after end() with what to do about it, and any other error unchanged. */
function advised(error: NodeJS.ErrnoException | null): Error | null {
  if (error?.code !== 'ERR_STREAM_WRITE_AFTER_END') return error
  const message = `${error.message}: stream.end() came before. If pipeline() or pipe() writes the audio, give it { end: false }, and pipeTo() { preventClose: true }`
  return Object.assign(new Error(message, { cause: error }), { code: error.code })
}
