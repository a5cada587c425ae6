import { createHash } from 'node:crypto'
import { bytesOf, mix } from '../audio/pcm.js'
import { FRAME_MS, type Cancel, type Clock } from '../clock.js'
import type { Faults } from '../faults.js'
import { Recorder } from '../media/recorder.js'
import type { Network } from '../network.js'
import type { ListenRecord, Track } from '../types.js'
import { AudioBuffer } from './audioBuffer.js'
import { handleCommand, type ForkCommands } from './commands.js'
import { ForkSocket } from './forkSocket.js'
import type { Credentials } from './handshake.js'
import { intactFrame, textFrame, type Json } from './metadata.js'
import { FrameMixer } from './mixer.js'
import { StreamingPlayout } from './playout.js'
import type { UpgradeFailure } from './upgrade.js'

/** Bytes of the buffer in which FreeSWITCH keeps frames of a fork that the module has not read, per direction. */
const BUG_BUFFER_BYTES = 512 * 1024
/** Real ms that the end of a call waits for the server to close a socket that was shut down gracefully. */
const SHUTDOWN_PATIENCE_MS = 1_000
/** ms from the frame with a mark to the report of the mark, on average 35 ms after the caller hears it (measured). */
const MARK_REPORT_MS = 45

export interface ForkOptions {
  network: Network
  clock: Clock
  record: ListenRecord
  metadataFrame: Buffer
  credentials: Credentials | undefined
  callRate: number
  /**
   * True if the metadata does not pass through FreeSWITCH's command line, which may damage the metadata.
   */
  intact: boolean
  /** Hz of the audio streamed to the caller. Undefined: the media server plays files only, whatever `streaming` is. */
  streamRate: number | undefined
  faults: Faults
  keepAudio: number
}

/** The events of a fork for the listen task: connection events, and the server's commands. */
export interface ForkEvents extends ForkCommands {
  open: () => void
  refused: (failure: UpgradeFailure) => void
  /** Called when the server closed the socket or the connection broke. jambonz gets the same event in both cases. */
  dropped: () => void
  message: (message: unknown) => void
  mark: (name: string, event: 'playout' | 'cleared') => void
  closed: () => void
}

/** A running fork: mod_audio_fork's copy of a leg's audio, and the websocket that the copy is sent over. */
export class Fork {
  readonly record: ListenRecord
  readonly playout: StreamingPlayout
  readonly streaming: boolean
  readonly #options: ForkOptions
  readonly #events: ForkEvents
  readonly #socket: ForkSocket
  readonly #buffer: AudioBuffer
  readonly #mixer: FrameMixer
  readonly #sent: Recorder
  readonly #right: Recorder
  readonly #output: Recorder
  readonly #own: Int16Array
  readonly #maxWaiting: number
  readonly #hash = createHash('sha256')
  readonly #begun = performance.now()
  readonly #cancels: Cancel[] = []
  // Frames that the module has not read yet. Until the socket is open, the module reads none.
  #waiting: Int16Array[] = []
  #tracksFrom: number | undefined
  #paused = false
  #stalled = false
  readonly #stalledTexts: Buffer[] = []
  #over = false
  #shutDown = false
  #whenClosed = () => {}

  constructor(options: ForkOptions, events: ForkEvents) {
    const { record, callRate, clock, faults } = options
    this.record = record
    this.#options = options
    this.#events = events
    this.streaming = options.streamRate !== undefined
    this.playout = new StreamingPlayout(options.streamRate ?? callRate, callRate, (name, event) =>
      this.#mark(name, event)
    )
    const channels = record.mixType === 'stereo' ? 2 : 1
    this.#mixer = new FrameMixer(record.mixType, callRate, record.sampleRate)
    this.#buffer = new AudioBuffer({
      sampleRate: record.sampleRate,
      channels,
      frameBytes: callRate / 25,
      resampled: record.sampleRate !== callRate
    })
    this.#sent = new Recorder(options.keepAudio)
    this.#right = new Recorder(options.keepAudio)
    this.#output = new Recorder(options.keepAudio)
    const frameSamples = (callRate * FRAME_MS) / 1000
    this.#own = new Int16Array(frameSamples)
    this.#maxWaiting = Math.floor(BUG_BUFFER_BYTES / (frameSamples * 2))
    this.#socket = new ForkSocket(
      {
        network: options.network,
        clock,
        url: record.url,
        credentials: options.credentials,
        delayMs: faults.slowUpgradeMs ?? 0
      },
      {
        open: (quiet, protocol) => this.#opened(quiet, protocol),
        refused: (failure) => {
          const { text, status, body, protocol } = failure
          record.refused = { text, status, ...(body !== undefined && body !== '' && { body }) }
          record.protocol = protocol
          this.#end()
          events.refused(failure)
        },
        text: (text) => this.#received(text),
        binary: (bytes) => this.#receivedAudio(bytes),
        broken: (what) => events.problem('brokenFrame', `the server broke the websocket protocol: ${what}`),
        closed: (code, by, reason) => this.#closed(code, by, reason)
      }
    )
  }

  /** Samples of streamed audio that are not played until more arrive. 0 while this fork plays other audio. */
  get unplayed(): number {
    return this.streaming && this.playout.ready === 0 ? this.playout.heldBack : 0
  }

  /** True while this fork plays to the leg. */
  get playing(): boolean {
    return this.streaming && this.playout.ready > 0
  }

  /**
   * Handles 20 ms of the call: the audio that the party said, and the audio that it hears without this fork's own
   * audio.
   */
  feed(said: Int16Array, hears: Int16Array): void {
    if (this.#over) return
    this.#tracksFrom ??= this.#options.clock.now()
    this.#right.add(bytesOf(hears))
    if (this.#paused) return
    const frame = this.#mixer.frame(said, hears)
    if (frame === undefined) return
    this.record.sent.startedAtMs ??= this.#options.clock.now() - (this.#mixer.late ? FRAME_MS : 0)
    if (this.#socket.open && this.#waiting.length === 0) this.#buffer.add(frame)
    else if (this.#waiting.length < this.#maxWaiting) this.#waiting.push(frame.slice())
    if (!this.#socket.open) return
    this.#read()
    if (!this.#stalled && this.#socket.writable) this.#flush()
  }

  /**
   * Adds streamed audio to the frame that the party hears. `file`: the audio in that frame that comes from a file of
   * this fork.
   */
  render(into: Int16Array, file: Int16Array | undefined): void {
    if (this.#over) return
    this.#tracksFrom ??= this.#options.clock.now()
    const own = this.#own.fill(0)
    if (this.streaming && this.#socket.open) this.playout.render(own)
    mix(into, own)
    if (file !== undefined) mix(own, file)
    this.#output.add(bytesOf(own))
  }

  /** Sends a message of jambonz (dtmf, playDone), changed as FreeSWITCH's tokenizer changes such a message. */
  send(message: Json): void {
    this.#text(this.#options.intact ? intactFrame(message) : textFrame(message))
  }

  /** Stops the audio without a message to the server, and drops buffered audio. */
  pause(): void {
    this.#paused = true
    this.#waiting = []
  }

  resume(): void {
    this.#paused = false
    this.#waiting = []
    this.#mixer.reset()
  }

  /** Ends the listen as jambonz does: sends a close frame with code 1000, then FIN. */
  stop(): void {
    if (this.#options.faults.gracefulShutdown === true && this.#socket.open) {
      if (!this.#shutDown) this.#socket.shutDown()
      this.#shutDown = true
      this.#over = true
      return
    }
    this.#end()
    this.#socket.stop()
    this.record.orphan = this.#socket.orphan
  }

  /**
   * Stops the fork at the end of the call. After a graceful shutdown, waits some time for the server to close the
   * socket.
   */
  async end(): Promise<void> {
    this.stop()
    if (!this.#socket.open) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, SHUTDOWN_PATIENCE_MS)
      this.#whenClosed = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.drop()
  }

  /** Breaks the connection without a close frame. */
  drop(): void {
    this.#end()
    this.#socket.drop()
  }

  #opened(quiet: boolean, protocol: string | undefined): void {
    const { clock, faults, record, metadataFrame } = this.#options
    record.openedAtMs = Math.round(clock.now())
    record.protocol = protocol
    if (!quiet && faults.noMetadata !== true) {
      if (faults.lateMetadataMs === undefined) this.#text(metadataFrame)
      else this.#later(faults.lateMetadataMs, () => this.#text(metadataFrame))
    }
    if (faults.dropAfterMs !== undefined) this.#later(faults.dropAfterMs, () => this.#breakDown())
    if (faults.stall !== undefined) {
      this.#later(faults.stall.fromMs, () => {
        this.#stalled = true
      })
      this.#later(faults.stall.fromMs + faults.stall.forMs, () => {
        this.#stalled = false
        // The module first writes its messages, then the buffered audio.
        for (const payload of this.#stalledTexts.splice(0)) this.#text(payload)
      })
    }
    this.#events.open()
  }

  // With resampling the module stops reading when its buffer is full, and goes on at its next turn.
  #read(): void {
    let read = 0
    while (read < this.#waiting.length && this.#buffer.add(this.#waiting[read++]!));
    this.#waiting.splice(0, read)
  }

  #flush(): void {
    const message = this.#buffer.take()
    const { sent } = this.record
    this.record.firstAudioMs ??= Math.round((performance.now() - this.#begun) * 10) / 10
    this.#socket.binary(message)
    sent.frames++
    sent.bytes += message.length
    this.#sent.add(message)
    this.#hash.update(message)
    if (this.#buffer.overran) this.#measureLoss()
  }

  #track(recorder: Recorder): Track | undefined {
    if (!recorder.complete || this.#tracksFrom === undefined) return undefined
    return { pcm: recorder.audio(), sampleRate: this.#options.callRate, startedAtMs: this.#tracksFrom }
  }

  #measureLoss(): void {
    const { record } = this
    const channels = record.mixType === 'stereo' ? 2 : 1
    record.overrun = this.#buffer.overran
    record.lostMs = Math.round((this.#buffer.lostBytes * 1000) / (record.sampleRate * channels * 2))
  }

  #text(payload: Buffer): void {
    if (!this.#socket.open) return
    if (this.#stalled) {
      this.#stalledTexts.push(payload)
      return
    }
    this.record.sent.texts.push(payload.toString('utf8'))
    this.#socket.text(payload)
  }

  #received(text: string): void {
    handleCommand(text, this, this.#events)
  }

  #receivedAudio(bytes: Buffer): void {
    this.record.receivedAudio.bytes += bytes.length
    // In file mode the module puts the audio into a buffer that is never played.
    if (!this.streaming) this.record.receivedAudio.swallowed += bytes.length
    this.playout.binary(bytes)
  }

  #mark(name: string, event: 'playout' | 'cleared'): void {
    this.#later(MARK_REPORT_MS, () => {
      // The module prints these blanks, and does not escape the name (mod_audio_fork, send_mark_event).
      this.#text(Buffer.from(`{"type": "mark", "data": {"name":"${name}", "event": "${event}"}}`, 'utf8'))
      this.#events.mark(name, event)
    })
  }

  #breakDown(): void {
    this.drop()
    this.#events.dropped()
  }

  #closed(code: number, by: 'jambonz' | 'server', reason?: string): void {
    const { record, clock } = this.#options
    record.closedAtMs = Math.round(clock.now())
    record.closeCode = code
    record.closeReason = reason
    record.closedBy = by
    this.#end()
    this.#measureLoss()
    record.sent.sha256 = this.#hash.digest('hex')
    record.sent.pcm = this.#sent.complete ? this.#sent.audio() : undefined
    record.right = this.#track(this.#right)
    record.output = this.#track(this.#output)
    this.#whenClosed()
    this.#events.closed()
    if (by === 'server') this.#events.dropped()
  }

  #end(): void {
    this.#over = true
    for (const cancel of this.#cancels) cancel()
  }

  #later(ms: number, run: () => void): void {
    const { clock } = this.#options
    this.#cancels.push(clock.at(clock.now() + ms, run))
  }
}
