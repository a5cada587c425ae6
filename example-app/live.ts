import { createHmac, randomBytes } from 'node:crypto'
import type { WebSocket } from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import type { Call } from 'fastify-jambonz-listen'
import type { DeskOptions } from './desk.js'
import { Tap } from './Tap.js'

/** ms between two messages with levels */
const TICK = 50
/** ticks between two looks at the store, where calls of other instances change without telling us */
const POLL = 20
/** ms for which an ended call is still shown */
const AFTERGLOW = 20_000
/** ms without news after which a call that never said it ended is taken for gone */
const FORGOTTEN = 600_000
/** ms for which a ticket opens the socket */
const TICKET_LIFE = 10_000
/** bytes that wait for a slow page: over the first it gets no levels, over the second it is cut off */
const SLOW = 65_536
const STUCK = 1_048_576

/** The page's socket: calls when they change, levels 20 times a second, and the audio of one call to who listens in. */
export default async function live (app: FastifyInstance, { environment, store }: DeskOptions): Promise<void> {
  const { calls } = app.jambonz
  const key = environment.SECRET ?? randomBytes(32)
  const taps = new Map<string, Tap>()
  const pages = new Map<WebSocket, Tap | undefined>()
  let timer: NodeJS.Timeout | undefined
  let ticks = 0
  let stale = true
  let reading = false
  let state = ''

  calls.events.on('stream', (stream) => {
    const { callSid, listen: { id } } = stream
    const tap = new Tap(stream)
    taps.set(id, tap)
    if (pages.size > 0) tap.open()
    stream.done.finally(() => taps.delete(id))
    // On the call, so that the pages of other instances see them too.
    stream.on('dtmf', () => { calls.update(callSid, { keys: tap.keys }).catch((err: unknown) => app.log.warn({ err }, 'keys not noted')) })
  })
  for (const event of ['call', 'stream', 'listenEnded', 'callEnded'] as const) calls.events.on(event, () => { stale = true })

  // A ticket instead of a password, which Safari does not send with a socket; nor can another site's page get one.
  app.get('/ticket', async () => ({ ticket: ticketFor(Date.now() + TICKET_LIFE) }))
  app.get<{ Querystring: { ticket?: string } }>('/live', {
    websocket: true,
    preValidation: async ({ query: { ticket = '' } }, reply) => {
      const expires = Number(ticket.split('.')[0])
      if (!(expires > Date.now()) || ticket !== ticketFor(expires)) return reply.code(401).send({ message: 'GET /ticket first' })
    }
  }, (socket) => {
    enter(socket)
    socket.on('message', (data) => listenIn(socket, String(data)))
    socket.on('error', () => socket.terminate())
    socket.on('close', () => leave(socket))
  })

  function ticketFor (expires: number): string {
    return `${expires}.${createHmac('sha256', key).update(`desk ${expires}`).digest('base64url')}`
  }

  function enter (socket: WebSocket): void {
    if (pages.size === 0) {
      timer = setInterval(tick, TICK)
      for (const tap of taps.values()) tap.open()
    }
    pages.set(socket, undefined)
    socket.send(JSON.stringify({ type: 'hello', now: Date.now(), url: environment.PUBLIC_URL }))
    if (state !== '') socket.send(state)
    stale = true
  }

  function leave (socket: WebSocket): void {
    pages.get(socket)?.supervisors.delete(socket)
    pages.delete(socket)
    if (pages.size > 0) return
    clearInterval(timer)
    state = ''
    for (const tap of taps.values()) tap.close()
  }

  /** `{"listen":"<id>"}`, null for none. What is binary after the answer is that listen's audio, L16. */
  function listenIn (socket: WebSocket, text: string): void {
    const id = /^\{"listen":"([\w-]+)"\}$/.exec(text)?.[1] ?? ''
    const tap = taps.get(id)
    pages.get(socket)?.supervisors.delete(socket)
    pages.set(socket, tap)
    socket.send(JSON.stringify({ type: 'listening', id: tap ? id : null }))
    tap?.supervisors.add(socket)
  }

  function tick (): void {
    const due = ticks++ % POLL === 0
    const message = JSON.stringify({ type: 'levels', levels: Object.fromEntries(Array.from(taps, ([id, tap]) => [id, tap.levels()])) })
    for (const socket of pages.keys()) {
      if (socket.bufferedAmount > STUCK) socket.terminate()
      else if ((due || taps.size > 0) && socket.bufferedAmount < SLOW) socket.send(message)
    }
    if ((due || stale) && !reading) read().catch((err: unknown) => app.log.warn({ err }, 'the calls could not be read')).finally(() => { reading = false })
  }

  async function read (): Promise<void> {
    reading = true
    stale = false
    const { instance, draining } = app.jambonz
    const current = (await calls.list()).filter(isCurrent)
    const now = JSON.stringify({ type: 'state', instance, draining, kind: environment.REDIS_URL ? 'redis' : 'memory', store: store.health?.(), calls: current })
    if (now === state) return
    state = now
    for (const socket of pages.keys()) socket.send(state)
  }
}

function isCurrent ({ endedAt, updatedAt, listens }: Call): boolean {
  if (endedAt !== undefined) return Date.now() - Date.parse(endedAt) < AFTERGLOW
  return listens.some((listen) => listen.state === 'streaming') || Date.now() - Date.parse(updatedAt) < FORGOTTEN
}
