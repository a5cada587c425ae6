import { createHash } from 'node:crypto'
import type { Cancel, Clock } from '../clock.js'
import type { Faults } from '../faults.js'
import { Recorder } from '../media/recorder.js'
import type { Network } from '../network.js'
import type { ListenRecord } from '../types.js'
import { AudioBuffer } from './audioBuffer.js'
import { handleCommand, type ForkCommands } from './commands.js'
import { ForkSocket } from './forkSocket.js'
import type { Credentials } from './handshake.js'
import { textFrame, type Json } from './metadata.js'
import { FrameMixer } from './mixer.js'
import { StreamingPlayout } from './playout.js'

/** Frames kept while the upgrade is unanswered: FreeSWITCH's media bug keeps up to 512 KB. */
const MAX_EARLY_FRAMES = 1_600
/** How long the end of a call waits for a server to close a socket that was shut down gracefully (real ms). */
const SHUTDOWN_PATIENCE_MS = 1_000
/** The first message leaves with the second frame after the socket opened, which is why it holds two or more. */
const FIRST_FLUSH = 2

export interface ForkOptions {
  network: Network
  clock: Clock
  record: ListenRecord
  metadataFrame: Buffer
  credentials: Credentials | undefined
  callRate: number
  /** Hz of audio streamed back; undefined: the media server works in file mode, however much the verb said `streaming`. */
  streamRate: number | undefined
  faults: Faults
  keepAudio: number
}

/** What a fork tells the listen task: connection events, and the server's commands. */
export interface ForkEvents extends ForkCommands {
  open: () => void
  refused: (text: string, status: number | undefined, silent: boolean) => void
  /** The server closed, or the connection broke: jambonz sees one and the same event. */
  dropped: () => void
  message: (message: unknown) => void
  mark: (name: string, event: 'playout' | 'cleared') => void
  closed: () => void
}

/** A running audio fork: mod_audio_fork's session data with its websocket. */
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
  readonly #hash = createHash('sha256')
  readonly #begun = performance.now()
  readonly #cancels: Cancel[] = []
  #early: Int16Array[] = []
  #framesSinceOpen = 0
  #paused = false
  #stalled = false
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
    this.#socket = new ForkSocket(
      {
        network: options.network,
        clock,
        url: record.url,
        credentials: options.credentials,
        delayMs: faults.slowUpgradeMs ?? 0
      },
      {
        open: (quiet) => this.#opened(quiet),
        refused: (text, status, silent) => {
          record.refused = { text, status }
          this.#end()
          events.refused(text, status, silent)
        },
        text: (text) => this.#received(text),
        binary: (bytes) => this.#receivedAudio(bytes),
        closed: (code, by) => this.#closed(code, by)
      }
    )
  }

  /** True while this fork has something to play to the leg. */
  get playing(): boolean {
    return this.streaming && this.playout.ready > 0
  }

  /** One 20 ms frame of the call: what the party said, and what it heard. */
  feed(said: Int16Array, heard: Int16Array): void {
    if (this.#over || this.#paused) return
    const frame = this.#mixer.frame(said, heard)
    if (frame === undefined) return
    if (!this.#socket.open) {
      if (this.#early.length < MAX_EARLY_FRAMES) this.#early.push(frame.slice())
      return
    }
    for (const early of this.#early) this.#buffer.add(early)
    this.#early = []
    this.#buffer.add(frame)
    this.#framesSinceOpen++
    if (this.#framesSinceOpen >= FIRST_FLUSH && !this.#stalled && this.#socket.writable) this.#flush()
  }

  /** Adds what is streamed back to the frame the party hears. */
  render(into: Int16Array): void {
    if (this.streaming && this.#socket.open) this.playout.render(into)
  }

  /** A message of jambonz' own (dtmf, playDone), with what FreeSWITCH's tokenizer makes of it. */
  send(message: Json): void {
    this.#text(textFrame(message))
  }

  /** Audio stops, nothing is said about it; on resume what had gathered is dropped. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#mixer.reset()
  }

  /** jambonz ends the listen: close 1000 and FIN. */
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

  /** The call is over: stops, and after a graceful shutdown gives the server some time to close. */
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

  /** The connection breaks without a close frame. */
  drop(): void {
    this.#end()
    this.#socket.drop()
  }

  #opened(quiet: boolean): void {
    const { clock, faults, record, metadataFrame } = this.#options
    record.openedAtMs = Math.round(clock.now())
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
      })
    }
    this.#events.open()
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
    if (this.#buffer.overran) this.record.overrun = true
  }

  #text(payload: Buffer): void {
    if (!this.#socket.open) return
    this.record.sent.texts.push(payload.toString('utf8'))
    this.#socket.text(payload)
  }

  #received(text: string): void {
    handleCommand(text, this, this.#events)
  }

  #receivedAudio(bytes: Buffer): void {
    this.record.receivedAudio.bytes += bytes.length
    // in file mode the module swallows it into a buffer nobody plays
    if (!this.streaming) this.record.receivedAudio.swallowed += bytes.length
    this.playout.binary(bytes)
  }

  #mark(name: string, event: 'playout' | 'cleared'): void {
    // printed with these blanks and without escaping the name (mod_audio_fork, send_mark_event)
    this.#text(Buffer.from(`{"type": "mark", "data": {"name":"${name}", "event": "${event}"}}`, 'utf8'))
    this.#events.mark(name, event)
  }

  #breakDown(): void {
    this.drop()
    this.#events.dropped()
  }

  #closed(code: number, by: 'jambonz' | 'server'): void {
    const { record, clock } = { record: this.record, clock: this.#options.clock }
    record.closedAtMs = Math.round(clock.now())
    record.closeCode = code
    record.closedBy = by
    this.#end()
    if (this.#buffer.overran) record.overrun = true
    record.sent.sha256 = this.#hash.digest('hex')
    record.sent.pcm = this.#sent.complete ? this.#sent.audio() : undefined
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
