import type { WebSocket } from 'ws'

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
