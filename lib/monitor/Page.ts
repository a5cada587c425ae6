import type { WebSocket } from 'ws'
import { CLOSE_BAD_START, closeSocket } from '../audio/socket/SocketEnd.js'
import type { LevelsMessage, StreamLevels, WatchMessage } from './messages.js'

/**
 * bytes that may wait for a page on a slow line: beyond this it gets no messages, and later only the state at that
 * time
 */
const SLOW = 65_536
/** ms in which none of these bytes leave: then the socket is closed, and the page reconnects */
const STUCK = 10_000
/** characters of a message about calls, roughly; the next message has the remaining calls */
const MAX_MESSAGE = 4_194_304
/** limits of a page's message: characters, and listens */
const MAX_WATCH = 65_536
const MAX_WATCHED = 500

export interface PageEvents {
  onWatch(): void
  onClose(): void
}

/** One page of the monitor: the state it has, and the changes to send once its line has room. */
export class Page {
  readonly #socket: WebSocket
  /** callSids of calls that changed or are gone, and that the page has not got yet */
  readonly #news = new Set<string>()
  #head = ''
  /** undefined: all */
  #watched?: Set<string>
  #waiting = 0
  #movedAt = performance.now()

  constructor(socket: WebSocket, { onWatch, onClose }: PageEvents) {
    this.#socket = socket
    socket.on('error', () => socket.terminate())
    socket.on('close', onClose)
    socket.on('message', (data: Buffer) => {
      const message = data.length <= MAX_WATCH ? parseWatch(data.toString()) : undefined
      if (message === undefined) {
        return closeSocket(
          socket,
          CLOSE_BAD_START,
          `expected {"watch":[…]}, ${MAX_WATCHED} ids of listens at most`
        )
      }
      this.#watched = new Set(message.watch)
      onWatch()
    })
  }

  watches(listenId: string): boolean {
    return this.#watched === undefined || this.#watched.has(listenId)
  }

  changed(callSid: string): void {
    this.#news.add(callSid)
  }

  /** Sends the changes since the last message. `head`: a state message without its calls and its last brace. */
  tellState(head: string, calls: ReadonlyMap<string, string>): void {
    if ((this.#news.size === 0 && head === this.#head) || !this.#hasRoom()) return
    const texts: string[] = []
    const gone: string[] = []
    let length = 0
    for (const callSid of this.#news) {
      if (length > MAX_MESSAGE) break
      this.#news.delete(callSid)
      const text = calls.get(callSid)
      if (text === undefined) gone.push(callSid)
      else texts.push(text)
      length += text?.length ?? 0
    }
    this.#head = head
    this.#socket.send(`${head},"calls":[${texts.join()}],"gone":${JSON.stringify(gone)}}`)
  }

  /** Sends the levels of the listens it watches. `isSignOfLife`: even if there are none. */
  tellLevels(levels: ReadonlyMap<string, StreamLevels | false>, now: number, isSignOfLife: boolean): void {
    const streams: Record<string, StreamLevels> = {}
    let isEmpty = true
    for (const [id, level] of levels) {
      if (level === false || !this.watches(id)) continue
      streams[id] = level
      isEmpty = false
    }
    if ((isEmpty && !isSignOfLife) || !this.#hasRoom()) return
    this.#socket.send(JSON.stringify({ type: 'levels', now, streams } satisfies LevelsMessage))
  }

  /** Returns true if the line has room. Closes the socket if the bytes that wait have not moved for STUCK. */
  #hasRoom(): boolean {
    const { bufferedAmount } = this.#socket
    if (bufferedAmount === 0 || bufferedAmount < this.#waiting) this.#movedAt = performance.now()
    else if (performance.now() - this.#movedAt > STUCK) this.#socket.terminate()
    this.#waiting = bufferedAmount
    return bufferedAmount <= SLOW
  }
}

function parseWatch(text: string): WatchMessage | undefined {
  try {
    const { watch } = JSON.parse(text) as { watch?: unknown }
    const isRight =
      Array.isArray(watch) && watch.length <= MAX_WATCHED && watch.every((id) => typeof id === 'string')
    return isRight ? { watch: watch as string[] } : undefined
  } catch {
    return undefined
  }
}
