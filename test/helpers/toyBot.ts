import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { WebSocketServer, type WebSocket } from 'ws'

export interface TwilioMessage {
  event: string
  sequenceNumber?: string
  streamSid?: string
  start?: Record<string, unknown>
  media?: { payload: string; chunk: string; timestamp: string; track: string }
  mark?: { name: string }
  dtmf?: { digit: string }
  stop?: Record<string, unknown>
}

/** A bot that speaks the protocol of Twilio's Media Streams. `onMessage` is called with each message. */
export class ToyBot {
  readonly received: TwilioMessage[] = []
  socket: WebSocket | undefined
  /** the headers of the upgrade */
  headers: IncomingHttpHeaders = {}
  closed: number | undefined
  readonly #server: WebSocketServer

  static async start(
    t: Test,
    onMessage: (bot: ToyBot, message: TwilioMessage) => void = () => {},
    acceptAfter = 0
  ): Promise<ToyBot> {
    const server = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      verifyClient: (_info, accept) => {
        setTimeout(() => accept(true), acceptAfter)
      }
    })
    await once(server, 'listening')
    const bot = new ToyBot(server)
    server.on('connection', (socket, { headers }) => {
      bot.socket = socket
      bot.headers = headers
      socket.on('message', (data) => {
        const message = JSON.parse(String(data)) as TwilioMessage
        bot.received.push(message)
        onMessage(bot, message)
      })
      socket.on('close', (code) => {
        bot.closed = code
      })
    })
    t.teardown(() => {
      for (const client of server.clients) client.terminate()
      server.close()
    })
    return bot
  }

  constructor(server: WebSocketServer) {
    this.#server = server
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/media`
  }

  of(event: string): TwilioMessage[] {
    return this.received.filter((message) => message.event === event)
  }

  /** Returns all mu-law audio that the bot has received. */
  get heard(): Buffer {
    return Buffer.concat(this.of('media').map(({ media }) => Buffer.from(media?.payload ?? '', 'base64')))
  }

  send(message: Record<string, unknown>): void {
    this.socket?.send(JSON.stringify({ ...message, streamSid: this.received.at(-1)?.streamSid }))
  }

  say(mulaw: Uint8Array): void {
    this.send({ event: 'media', media: { payload: Buffer.from(mulaw).toString('base64') } })
  }
}
