import { createHash, randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { closeFrame, frameOf, pongFrame, textFrame } from './frames.js'
import type { EchoMeter } from './EchoMeter.js'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const CLOSE_NORMAL = 1000
/** bytes that may wait until the server reads them; with more, the call counts as failed */
const MAX_UNSENT = 4_194_304
const CLOSE_DEADLINE = 10_000

/**
 * A call as mod_audio_fork makes it. It uses a plain TCP socket, because a websocket library would need more
 * CPU.
 */
export class LoadCall {
  readonly index: number
  /** ms from the start of the connection to the 101 */
  openedMs = 0
  sent = 0
  /** reason why the call ended too early; undefined if it did not */
  failure: string | undefined
  #socket: Socket | undefined
  #open = false
  #closed = false
  #echo: EchoMeter | undefined

  constructor(index: number) {
    this.index = index
  }

  get isOpen(): boolean {
    return this.#open
  }

  /**
   * Connects, and requests the upgrade. After the 101 it sends `metadata` and resolves. Rejects if the
   * upgrade is refused.
   */
  open(port: number, path: string, metadata: object, echo: EchoMeter | undefined): Promise<void> {
    this.#echo = echo
    const began = performance.now()
    const key = randomBytes(16).toString('base64')
    const accept = createHash('sha1')
      .update(key + GUID)
      .digest('base64')
    return new Promise((resolve, reject) => {
      let head = ''
      const socket = connect({ host: '127.0.0.1', port, noDelay: true })
      this.#socket = socket
      const onHead = (data: Buffer): void => {
        head += data.toString('latin1')
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        socket.off('data', onHead)
        if (!head.startsWith('HTTP/1.1 101') || !head.includes(accept)) {
          this.#fail(`refused: ${head.slice(0, head.indexOf('\r\n'))}`)
          return reject(new Error(this.failure))
        }
        this.openedMs = performance.now() - began
        this.#open = true
        socket.write(textFrame(JSON.stringify(metadata)))
        const pong = (body: Buffer): void => {
          if (this.#open) socket.write(pongFrame(body))
        }
        if (echo) socket.on('data', (frames: Buffer) => echo.receive(this.index, frames, pong))
        else socket.resume()
        resolve()
      }
      socket.on('data', onHead)
      socket.on('error', (err) => {
        this.#fail(err.message)
        reject(err)
      })
      socket.on('close', () => {
        if (!this.#closed) this.#fail('the server closed the socket')
        reject(new Error(this.failure))
      })
      socket.write(upgrade(path, key))
    })
  }

  /** Sends the next 20 ms of audio. */
  send(): void {
    if (!this.#open || this.#socket === undefined) return
    this.#echo?.sending(this.index, this.sent)
    this.#socket.write(frameOf(this.index, this.sent++))
    if (this.#socket.writableLength > MAX_UNSENT) this.#fail(`the server left ${MAX_UNSENT} bytes unread`)
  }

  /**
   * Closes the socket as jambonz does: sends a close frame, and FIN at once. Resolves when the server has
   * closed too.
   */
  async close(): Promise<void> {
    const socket = this.#socket
    if (socket === undefined || socket.destroyed) return
    this.#closed = true
    this.#open = false
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.failure ??= 'the server did not close'
        socket.destroy()
      }, CLOSE_DEADLINE)
      socket.on('close', () => {
        clearTimeout(timer)
        resolve()
      })
      socket.end(closeFrame(CLOSE_NORMAL))
    })
  }

  #fail(reason: string): void {
    this.failure ??= reason
    this.#open = false
    this.#closed = true
    this.#socket?.destroy()
  }
}

function upgrade(path: string, key: string): string {
  return [
    `GET ${path} HTTP/1.1`,
    'Pragma: no-cache',
    'Cache-Control: no-cache',
    'Host: 127.0.0.1',
    'Origin: http://127.0.0.1',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
    'Sec-WebSocket-Protocol: audio.jambonz.org',
    'Sec-WebSocket-Version: 13',
    '',
    ''
  ].join('\r\n')
}
