import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { buildApp } from '../../example-app/app.js'
import { readEnvironment } from '../../example-app/environment.js'
import { folder } from './build.js'
import { until } from './until.js'

/** The example application, closed with the test. Recordings go to a folder of its own unless `env` names one. */
export async function exampleApp (t: Test, env: NodeJS.ProcessEnv = {}): Promise<FastifyInstance> {
  const app = await buildApp(readEnvironment({ RECORDINGS_DIR: folder(), ...env }))
  t.teardown(() => app.close())
  return app
}

export interface DeskMessage extends Record<string, unknown> {
  type: string
}

/** A page's socket, without the page. */
export class DeskPage {
  readonly messages: DeskMessage[] = []
  readonly audio: Buffer[] = []
  readonly socket: WebSocket

  constructor (socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) this.audio.push(data)
      else this.messages.push(JSON.parse(data.toString()) as DeskMessage)
    })
  }

  last (type: string): DeskMessage | undefined {
    return this.messages.findLast((message) => message.type === type)
  }

  /** Resolves with the first message of this type, past ones included, for which `fits`. */
  async message (type: string, fits: (message: DeskMessage) => unknown = () => true): Promise<DeskMessage> {
    return await until(() => this.messages.find((message) => message.type === type && fits(message)), `a message ${type}`, 15_000)
  }
}

export async function openDesk (t: Test, address: string): Promise<DeskPage> {
  const { ticket } = await (await fetch(`${address}/ticket`)).json() as { ticket: string }
  const socket = new WebSocket(`${address.replace('http', 'ws')}/live?ticket=${ticket}`)
  t.teardown(() => socket.terminate())
  const page = new DeskPage(socket)
  await page.message('hello')
  return page
}
