import type { Duplex } from 'node:stream'
import type { Clock, Cancel } from '../clock.js'
import type { Network } from '../network.js'
import { closePayload, encodeFrame, FrameDecoder, OPCODE, type Frame } from './frames.js'
import { TextAssembler } from './messages.js'
import { newKey, type Credentials } from './handshake.js'
import { Upgrade, type UpgradeFailure } from './upgrade.js'

/** The callbacks with which a socket reports its events to its fork. */
export interface SocketEvents {
  /** `quiet`: a close frame came together with the server's 101, so nothing is sent, not even the metadata. */
  open: (quiet: boolean, protocol: string | undefined) => void
  refused: (failure: UpgradeFailure) => void
  text: (text: string) => void
  binary: (bytes: Buffer) => void
  /** The server sent a frame that breaks the websocket protocol. */
  broken: (what: string) => void
  closed: (code: number, by: 'jambonz' | 'server', reason?: string) => void
}

const NORMAL = 1000
const PROTOCOL_ERROR = 1002
/** The close code in the record of a connection that ended without a close frame. This code is never sent. */
const NO_CLOSE_FRAME = 1006
const LINGER_MS = 3_000

/** A websocket client that behaves as libwebsockets in mod_audio_fork does, byte for byte. */
export class ForkSocket {
  readonly #events: SocketEvents
  readonly #clock: Clock
  readonly #upgrade: Upgrade
  readonly #decoder = new FrameDecoder()
  readonly #assembler = new TextAssembler()
  #socket: Duplex | undefined
  #state: 'connecting' | 'open' | 'closed' = 'connecting'
  #binaryMessage = false
  #waiting: Cancel | undefined
  #deaf = false
  orphan = false

  constructor(
    options: {
      network: Network
      clock: Clock
      url: string
      credentials?: Credentials | undefined
      delayMs: number
    },
    events: SocketEvents
  ) {
    this.#events = events
    this.#clock = options.clock
    this.#upgrade = new Upgrade(
      { ...options, key: newKey() },
      {
        upgraded: (socket, rest, protocol) => this.#upgraded(socket, rest, protocol),
        failed: (failure) => this.#failed(failure)
      }
    )
  }

  get open(): boolean {
    return this.#state === 'open' && !this.orphan
  }

  /**
   * False while the kernel, or the peer in this process, has not accepted all bytes. The module calls this "not
   * writable".
   */
  get writable(): boolean {
    return this.open && this.#socket!.writableLength === 0
  }

  text(payload: Buffer): void {
    if (this.open && !this.#deaf) this.#write(OPCODE.text, payload)
  }

  binary(payload: Buffer): void {
    if (this.open) this.#write(OPCODE.binary, payload)
  }

  /** Shuts down gracefully: sends one empty binary frame, then nothing until the server closes. */
  shutDown(): void {
    this.#write(OPCODE.binary, Buffer.alloc(0))
    this.#deaf = true
  }

  /**
   * Ends the socket: sends a close frame with code 1000 and no reason, then FIN. If the server has not answered the
   * upgrade yet, the socket stays open and unused (`orphan`).
   */
  stop(): void {
    if (this.#state === 'connecting') {
      this.orphan = true
      return
    }
    if (!this.open) return
    this.#write(OPCODE.close, closePayload(NORMAL))
    this.#finish(NORMAL, 'jambonz')
  }

  /** Drops the TCP connection without a close frame, as after a crash or a network failure. */
  drop(): void {
    this.#upgrade.cancel()
    if (this.#state === 'closed') return
    const wasOpen = this.#state === 'open'
    this.#state = 'closed'
    this.#release()
    this.#socket?.destroy()
    if (wasOpen) this.#events.closed(NO_CLOSE_FRAME, 'jambonz')
  }

  #upgraded(socket: Duplex, rest: Buffer, protocol: string | undefined): void {
    this.#socket = socket
    this.#state = 'open'
    socket.on('data', (bytes: Buffer) => this.#read(bytes))
    socket.on('end', () => this.#finish(NO_CLOSE_FRAME, 'server'))
    socket.on('close', () => this.#finish(NO_CLOSE_FRAME, 'server'))
    socket.on('error', () => this.#finish(NO_CLOSE_FRAME, 'server'))
    // Bytes that came with the 101 are read before anything is written. If they hold a close frame, no metadata is
    // sent.
    const closing = this.#closesAtOnce(rest)
    if (!this.orphan) this.#events.open(closing, protocol)
    if (rest.length > 0) this.#read(rest, closing)
  }

  #failed(failure: UpgradeFailure): void {
    this.#state = 'closed'
    if (!this.orphan) this.#events.refused(failure)
  }

  #closesAtOnce(rest: Buffer): boolean {
    return rest.length > 1 && (rest[0]! & 0x0f) === OPCODE.close
  }

  #read(bytes: Buffer, quiet = false): void {
    if (this.#state !== 'open') return
    this.#decoder.push(bytes)
    try {
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) {
        this.#frame(frame, quiet)
        if (this.#state !== 'open') return
      }
    } catch (error) {
      if (!this.orphan) this.#events.broken((error as Error).message)
      this.#socket!.destroy()
      this.#finish(NO_CLOSE_FRAME, 'jambonz')
    }
  }

  #frame(frame: Frame, quiet: boolean): void {
    // libwebsockets reports the error and goes on.
    if (frame.masked) {
      if (!this.orphan) this.#events.broken('a masked frame')
      return this.#write(OPCODE.close, closePayload(PROTOCOL_ERROR, Buffer.from('srv mask')))
    }
    switch (frame.opcode) {
      case OPCODE.ping:
        this.#write(OPCODE.pong, frame.payload)
        return
      case OPCODE.pong:
        if (this.#deaf) this.#write(OPCODE.binary, Buffer.alloc(0))
        return
      case OPCODE.close:
        return this.#answerClose(frame.payload, quiet)
      default:
        return this.#message(frame)
    }
  }

  #message(frame: Frame): void {
    if (frame.opcode !== OPCODE.continuation) this.#binaryMessage = frame.opcode === OPCODE.binary
    if (this.orphan) return
    if (this.#binaryMessage) {
      if (frame.payload.length > 0) this.#events.binary(frame.payload)
      return
    }
    const text = this.#assembler.add(frame)
    if (text !== undefined) this.#events.text(text)
  }

  #answerClose(payload: Buffer, quiet: boolean): void {
    if (payload.length < 2) {
      if (!quiet) this.#write(OPCODE.close, Buffer.alloc(0))
      return this.#finish(1005, 'server')
    }
    const code = payload.readUInt16BE(0)
    if (!quiet) this.#write(OPCODE.close, isValidCode(code) ? payload : closePayload(PROTOCOL_ERROR))
    this.#finish(code, 'server', payload.toString('utf8', 2))
  }

  #write(opcode: number, payload: Uint8Array): void {
    const socket = this.#socket!
    socket.write(encodeFrame(opcode, payload), this.#written)
    // At speed Infinity the clock stands still while the peer does not read.
    if (socket.writableLength > 0) this.#waiting ??= this.#clock.hold()
  }

  readonly #written = (): void => {
    if (this.#socket!.writableLength === 0) this.#release()
  }

  #finish(code: number, by: 'jambonz' | 'server', reason?: string): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#release()
    this.#linger()
    if (!this.orphan) this.#events.closed(code, by, reason)
  }

  // Sends FIN, then reads and drops all bytes that arrive. Otherwise a TCP reset could overtake the last bytes sent.
  #linger(): void {
    const socket = this.#socket!
    socket.end()
    socket.resume()
    const kill = setTimeout(() => socket.destroy(), LINGER_MS)
    kill.unref()
    socket.once('close', () => clearTimeout(kill))
  }

  #release(): void {
    this.#waiting?.()
    this.#waiting = undefined
  }
}

function isValidCode(code: number): boolean {
  return (
    (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) ||
    (code >= 3000 && code <= 4999)
  )
}
