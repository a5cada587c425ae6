import type { WebSocket } from 'ws'

interface Beating {
  readonly socket: WebSocket
  /** Returns true if the socket is being read: a pong could have been seen. */
  isRead(): boolean
  /** No pong since the last ping. */
  lost(): void
}

/**
 * Pings, since jambonz sends none: one timer for all sockets of an interval. A socket that answers no ping within an
 * interval is lost. Audio says nothing about life: live-call control may pause it for as long as it likes.
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

/** Watches a socket from now on. `interval` in ms, 0 watches nothing. Returns what ends the watch. */
export function beat(interval: number, member: Beating): () => void {
  if (interval === 0) return () => {}
  let heartbeat = heartbeats.get(interval)
  if (heartbeat === undefined) {
    heartbeat = new Heartbeat(interval)
    heartbeats.set(interval, heartbeat)
  }
  return heartbeat.add(member)
}

/** answers of which the fastest counts */
const MAX_ROUND_TRIPS = 8

/** Questions to jambonz by ping, and the time that their answers take. */
export class RoundTrips {
  /** ms between a question to jambonz and its answer; 0 as long as it is unknown */
  leastMs = 0
  readonly #socket: WebSocket
  #last: number[] = []
  #asked = 0

  constructor(socket: WebSocket) {
    this.#socket = socket
  }

  /**
   * Sends a ping. `onPong`: called with its answer, once. The answer comes back in order with the audio: what comes
   * before it was sent before jambonz had what was sent before the question. A closed socket is asked nothing.
   */
  ask(onPong: () => void): void {
    const socket = this.#socket
    if (socket.readyState !== socket.OPEN) return
    const askedAt = performance.now()
    const question = `listen ${++this.#asked}`
    const answered = (answer: Buffer) => {
      if (answer.toString() !== question) return
      socket.off('pong', answered)
      this.#last = [...this.#last, performance.now() - askedAt].slice(-MAX_ROUND_TRIPS)
      // The least is the line's; what is over it is this process's.
      this.leastMs = Math.min(...this.#last)
      onPong()
    }
    socket.on('pong', answered)
    socket.ping(question)
  }
}
