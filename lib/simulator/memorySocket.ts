import { Duplex } from 'node:stream'

/** The most bytes that one side may write before the other side reads them; the kernel's buffers do this for TCP. */
const WINDOW = 256 * 1024

/**
 * One end of a connection inside the process. It has the parts of a net.Socket that node:http and ws use. Written bytes
 * arrive in a later turn of the event loop, a full window blocks the writer, and FIN and reset reach the other end.
 */
class MemorySocket extends Duplex {
  readonly remoteAddress = '127.0.0.1'
  readonly remoteFamily = 'IPv4'
  readonly localAddress = '127.0.0.1'
  readonly remotePort: number
  readonly localPort: number
  #peer: MemorySocket | undefined
  #inbox: Buffer[] = []
  #waiting = 0
  #ended = false
  #endPushed = false
  #scheduled = false
  #blocked: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(remotePort: number, localPort: number) {
    super({ allowHalfOpen: false })
    this.remotePort = remotePort
    this.localPort = localPort
  }

  pair(peer: MemorySocket): void {
    this.#peer = peer
  }

  // node:http and ws call these methods on every socket
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }

  setTimeout(ms: number, onTimeout?: () => void): this {
    clearTimeout(this.#timer)
    if (onTimeout !== undefined) this.once('timeout', onTimeout)
    if (ms > 0) this.#timer = setTimeout(() => this.emit('timeout'), ms).unref()
    return this
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const peer = this.#peer!
    if (peer.destroyed) return callback(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    this.#timer?.refresh()
    peer.#receive(chunk)
    if (peer.#waiting > WINDOW) peer.#blocked = callback
    else callback()
  }

  override _final(callback: () => void): void {
    this.#peer!.#receiveEnd()
    callback()
  }

  override _read(): void {
    this.#schedule()
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#timer)
    this.#inbox = []
    this.#peer!.#receiveEnd()
    const blocked = this.#blocked
    this.#blocked = undefined
    blocked?.()
    callback(error)
  }

  #receive(chunk: Buffer): void {
    this.#inbox.push(chunk)
    this.#waiting += chunk.length
    this.#schedule()
  }

  #receiveEnd(): void {
    this.#ended = true
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled || this.destroyed) return
    this.#scheduled = true
    process.nextTick(() => this.#deliver())
  }

  #deliver(): void {
    this.#scheduled = false
    if (this.destroyed) return
    let wanted = true
    while (wanted && this.#inbox.length > 0) {
      const chunk = this.#inbox.shift()!
      this.#waiting -= chunk.length
      wanted = this.push(chunk)
    }
    if (this.#waiting <= WINDOW && this.#blocked !== undefined) {
      const blocked = this.#blocked
      this.#blocked = undefined
      blocked()
    }
    if (this.#ended && this.#inbox.length === 0 && !this.#endPushed) {
      this.#endPushed = true
      this.push(null)
    }
  }
}

const FIRST_PORT = 49_152
const PORTS = 16_384
let connections = 0

/** Returns both ends of a connection inside the process. */
export function memorySocket(): [Duplex, Duplex] {
  const port = FIRST_PORT + (connections++ % PORTS)
  const client = new MemorySocket(80, port)
  const server = new MemorySocket(port, 80)
  client.pair(server)
  server.pair(client)
  return [client, server]
}
