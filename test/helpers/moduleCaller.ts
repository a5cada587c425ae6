import type { Test } from 'tap'
import type { WebSocket } from 'ws'
import { StreamingPlayout } from '../../lib/simulator/fork/playout.js'

const TICK = 20

export interface ModuleCallerOptions {
  /** sample rate in Hz of the audio that is streamed back */
  rate?: number
  /** sample rate in Hz of the call */
  callRate?: number
  /** true: the caller sends a frame of silence each time a frame is played to him, as mod_audio_fork does */
  sends?: boolean
}

/**
 * The caller at jambonz' end of a socket. Every 20 ms of real time he hears a frame from the simulator's
 * model of the playout in mod_audio_fork.
 */
export class ModuleCaller {
  /** marks that jambonz reported; `at`: ms since the start */
  readonly marks: Array<{ name: string; event: string; at: number }> = []
  /** types of the commands that the application sent */
  readonly commands: string[] = []
  readonly #frames: Int16Array[] = []
  readonly #began = performance.now()
  readonly #catchUp: () => void
  // true until the first sound: silence before the first sound is not kept
  #silent = true

  constructor(
    t: Test,
    socket: WebSocket,
    { rate = 8000, callRate = 8000, sends = false }: ModuleCallerOptions = {}
  ) {
    const playout = new StreamingPlayout(rate, callRate, (name, event) => {
      this.marks.push({ name, event, at: performance.now() - this.#began })
      socket.send(`{"type": "mark", "data": {"name":"${name}", "event": "${event}"}}`)
    })
    socket.on('message', (data, isBinary) => {
      if (isBinary) return playout.binary(data as Buffer)
      const { type, data: detail } = JSON.parse(String(data)) as { type: string; data?: { name: string } }
      this.commands.push(type)
      if (type === 'mark' && detail) playout.mark(detail.name)
      else if (type === 'killAudio') playout.killAudio()
      else if (type === 'clearMarks') playout.clearMarks()
      else if (type === 'disconnect') socket.close(1000)
    })
    const render = () => {
      const frame = new Int16Array((callRate * TICK) / 1000)
      playout.render(frame)
      if (sends) socket.send(Buffer.alloc(frame.byteLength))
      if (this.#silent && frame.every((sample) => sample === 0)) return
      this.#silent = false
      this.#frames.push(frame)
    }
    // If the timer is late, all frames that are due are played, because a real caller's clock does not wait.
    let due = performance.now()
    this.#catchUp = () => {
      for (; due <= performance.now(); due += TICK) render()
    }
    const timer = setInterval(this.#catchUp, TICK / 2)
    t.teardown(() => clearInterval(timer))
  }

  /** The audio that the caller heard, from the first sound on. */
  get heard(): Int16Array {
    this.#catchUp()
    const all = new Int16Array(this.#frames.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const frame of this.#frames) {
      all.set(frame, at)
      at += frame.length
    }
    return all
  }
}
