import type { WebSocket } from 'ws'

interface Beating {
  readonly socket: WebSocket
  /** Returns true while the socket is read. Only then can a pong be seen. */
  isRead(): boolean
  /** Called when no pong has come since the last ping. */
  lost(): void
}

/**
 * Pings all sockets with the same interval, with one timer, since jambonz sends no pings. A socket that does
 * not answer a ping within the interval is lost. Missing audio does not prove that a socket is lost, since
 * live-call control may pause the audio for any time.
 */
class Heartbeat {
  readonly #beating = new Map<Beating, { alive: boolean }>()
  readonly #interval: number
  #timer: NodeJS.Timeout | undefined

  constructor(interval: number) {
    this.#interval = interval
  }

  add(member: Beating): () => void {
    const state = { alive: true }
    const onPong = () => {
      state.alive = true
    }
    this.#beating.set(member, state)
    member.socket.on('pong', onPong)
    this.#timer ??= setInterval(() => this.#beat(), this.#interval).unref()
    return () => {
      member.socket.off('pong', onPong)
      this.#beating.delete(member)
      if (this.#beating.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  #beat(): void {
    for (const [member, state] of this.#beating) {
      if (state.alive || !member.isRead()) {
        state.alive = false
        member.socket.ping()
      } else member.lost()
    }
  }
}

const heartbeats = new Map<number, Heartbeat>()

/**
 * Pings a socket every `interval` ms, or never if `interval` is 0. Returns a function that stops the pings.
 */
export function beat(interval: number, member: Beating): () => void {
  if (interval === 0) return () => {}
  let heartbeat = heartbeats.get(interval)
  if (heartbeat === undefined) {
    heartbeat = new Heartbeat(interval)
    heartbeats.set(interval, heartbeat)
  }
  return heartbeat.add(member)
}

/** Number of latest round trips to keep, of which the shortest counts. */
const MAX_ROUND_TRIPS = 8
/**
 * Maximum number of pings that wait for their pongs. A peer may answer no ping, or only the last of several
 * (RFC 6455, 5.5.3).
 */
const MAX_WAITING = 64

interface Ping {
  /** ms, as of `performance.now()` */
  sentAt: number
  onPong: () => void
}

/** Measures the time of round trips to jambonz, with its own pings. */
export class RoundTrips {
  /** ms, the shortest of the latest round trips; 0 before the first pong */
  leastMs = 0
  readonly #socket: WebSocket
  // Most streams never send a ping, so the map and the listener that reads it are made with the first ping.
  #waiting: Map<string, Ping> | undefined
  #last: number[] = []
  #sent = 0

  constructor(socket: WebSocket) {
    this.#socket = socket
  }

  /**
   * Sends a ping, unless the socket is closing. `onPong` is called once, when the pong comes, unless
   * MAX_WAITING later pings are sent first. Since jambonz sends pongs and audio in order, it sent all audio
   * that arrives ahead of the pong before it read the ping.
   */
  ask(onPong: () => void): void {
    const socket = this.#socket
    if (socket.readyState !== socket.OPEN) return
    const waiting = (this.#waiting ??= this.#listen())
    const ping = `listen ${++this.#sent}`
    waiting.set(ping, { sentAt: performance.now(), onPong })
    for (const oldest of waiting.keys()) {
      if (waiting.size <= MAX_WAITING) break
      waiting.delete(oldest)
    }
    socket.ping(ping)
  }

  /**
   * Resolves to `pings` when the peer has answered so many pings, one after the other. What the peer sent before has then
   * arrived. Does not resolve if the socket closes.
   */
  async made(pings: number): Promise<number> {
    for (let left = pings; left > 0; left--) await new Promise<void>((resolve) => this.ask(resolve))
    return pings
  }

  #listen(): Map<string, Ping> {
    const waiting = new Map<string, Ping>()
    this.#socket.on('pong', (data: Buffer) => {
      const name = data.toString()
      const ping = waiting.get(name)
      if (ping === undefined) return
      waiting.delete(name)
      this.#last = [...this.#last, performance.now() - ping.sentAt].slice(-MAX_ROUND_TRIPS)
      // The shortest round trip is the time of the network. A longer round trip includes delays in this
      // process.
      this.leastMs = Math.min(...this.#last)
      ping.onPong()
    })
    return waiting
  }
}
