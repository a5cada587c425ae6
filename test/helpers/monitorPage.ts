import { once } from 'node:events'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import type { LevelsMessage, MonitorMessage, StateMessage, StreamLevels } from '../../lib/monitor/index.js'
import { until } from './until.js'

const PATIENCE = 60_000

/** A client of the live monitor that needs no browser. */
export class MonitorPage {
  readonly socket: WebSocket
  readonly states: StateMessage[] = []
  readonly levels: LevelsMessage[] = []

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as MonitorMessage
      if (message.type === 'state') this.states.push(message)
      else this.levels.push(message)
    })
  }

  /**
   * Resolves to the first received state for which `fits` returns true; states that arrived before count too.
   */
  async state(what: string, fits: (state: StateMessage) => unknown, ms = PATIENCE): Promise<StateMessage> {
    return await until(() => this.states.find(fits), what, ms)
  }

  /** Returns the levels of one stream that this client has received. */
  of(listenId: string): StreamLevels[] {
    return this.levels.flatMap(({ streams }) => streams[listenId] ?? [])
  }
}

export async function openMonitor(t: Test, url: string): Promise<MonitorPage> {
  const page = new MonitorPage(connect(t, url))
  await once(page.socket, 'open')
  return page
}

/** A client that listens to the audio of a live stream. */
export class Supervisor {
  readonly socket: WebSocket
  readonly frames: Buffer[] = []

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: Buffer) => this.frames.push(data))
  }

  get heard(): Buffer {
    return Buffer.concat(this.frames)
  }
}

export async function openSupervisor(t: Test, url: string): Promise<Supervisor> {
  const supervisor = new Supervisor(connect(t, url))
  await once(supervisor.socket, 'open')
  return supervisor
}

function connect(t: Test, url: string): WebSocket {
  const socket = new WebSocket(url.replace(/^http/, 'ws'))
  t.teardown(() => socket.terminate())
  return socket
}
