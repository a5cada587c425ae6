import type { Readable } from 'node:stream'
import { ERR_AUDIO_CHANNEL, ERR_AUDIO_CLOSED } from '../../model/errors.js'
import type { AudioCounts, Call, Listen, MixType } from '../../model/schema.js'
import type { Playback } from '../playback/Playback.js'
import type { PauseMode, StreamEnd } from '../socket/types.js'
import { CHANNEL_NAMES, ChannelReader, sideOfVoice, type ChannelName } from './readers.js'
import type { LiveStream, RecordingControl } from './LiveStream.js'
import { SpeakingDuplex } from './SpeakingDuplex.js'

const LIVE = new WeakMap<AudioStream, LiveStream>()

/** Returns the inner view of a stream. */
export function liveOf(stream: AudioStream): LiveStream {
  const live = LIVE.get(stream)
  if (live === undefined) throw new TypeError('not a stream of fastify-jambonz-listen')
  return live
}

/**
 * One listen's audio, a Duplex of raw L16 little-endian PCM: what is read is the call, what is written the caller
 * hears. Up to 10 s are kept for a reader until its handler has settled; one that is too slow pauses the socket. Destroying it, also
 * by leaving a `for await`, ends the listen.
 */
export class AudioStream extends SpeakingDuplex {
  /** The call as it was when the audio began. */
  readonly call: Call
  /** The metadata of the first frame, and over it the verb's own `metadata`: right even if the frame came broken. */
  readonly metadata: Record<string, unknown> | undefined
  readonly #live: LiveStream

  /** Applications are given streams; they make none. */
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
    this.on('removeListener', () => {
      if (this.listenerCount('audio') === 0) live.tap(false)
      if (this.listenerCount('dtmf') + this.listenerCount('message') === 0) live.hear(false)
    })
    this.on('error', (err) => {
      if (!(err instanceof ERR_AUDIO_CLOSED)) live.socket.logger.error({ err }, 'audio stream failed')
    })
  }

  /** The listen as it is known by now. */
  get listen(): Listen {
    return this.#live.listen as Listen
  }

  get callSid(): string {
    return this.call.callSid
  }

  /** Hz of what is read */
  get sampleRate(): number {
    return this.listen.sampleRate
  }

  get channels(): number {
    return this.listen.channels
  }

  get mixType(): MixType {
    return this.listen.mixType
  }

  /** The audio that has arrived so far, counted. */
  get counts(): AudioCounts {
    return this.#live.counts
  }

  /** The key that ended the listen. */
  get digits(): string | undefined {
    return this.#live.digits
  }

  /** The recording of this stream; undefined if the route does not record. */
  get recording(): RecordingControl | undefined {
    return this.#live.recording
  }

  /** Settles, never rejects, when the socket has closed and its last frame is delivered. */
  get done(): Promise<StreamEnd> {
    return this.#live.done
  }

  /** true from `beginPrivacy()`, or `recording.pause()`, to the end of the pause. */
  get isPrivate(): boolean {
    return this.#live.privacy !== false
  }

  /**
   * From here on what is said is the application's alone, such as a card number: it is not recorded, whatever the
   * recorder does, nobody listens in, and keys come marked `private`. A handover keeps it. Default: silence in the recording.
   */
  beginPrivacy(mode: PauseMode = 'silence'): void {
    this.#live.beginPrivacy(mode)
  }

  /** Ends it. What was said in it and comes late still belongs to it. */
  endPrivacy(): void {
    this.#live.endPrivacy()
  }

  /**
   * One side of a stereo stream as mono L16, kept for its reader from now on. Of a mono stream `caller` is all there
   * is, or `callee` at the leg of the called party. Throws FST_JAMBONZ_AUDIO_CHANNEL.
   */
  channel(name: ChannelName): Readable {
    const side = sideOfVoice(name, this.listen)
    const mono = this.mixType === 'mono' && side === 'caller'
    if (!CHANNEL_NAMES.includes(name)) {
      throw new ERR_AUDIO_CHANNEL(`there is no channel "${name}": it is 'caller' or 'callee'`)
    }
    if (this.mixType !== 'stereo' && !mono) {
      throw new ERR_AUDIO_CHANNEL(
        `a ${this.mixType} stream has no channel "${name}": the listen verb must say mixType: 'stereo'`
      )
    }
    return new ChannelReader(mono ? 'whole' : side, this.#live)
  }

  /** Sends JSON of your own to jambonz. */
  send(json: unknown): void {
    this.#live.socket.sendText(JSON.stringify(json))
  }

  /** Ends the listen: jambonz closes the socket and calls the actionHook. */
  disconnect(): Promise<StreamEnd> {
    return this.#live.end('disconnected')
  }

  override _read(): void {
    this.#live.reader.wanted()
  }

  override read(size?: number): Buffer | null {
    if (size !== 0) this.#live.readBy()
    return super.read(size) as Buffer | null
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // Who leaves a `for await` or aborts a pipeline has had enough, no trouble.
    const failed = error?.name === 'AbortError' ? null : error
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
  }
}
