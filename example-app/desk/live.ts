import { randomUUID } from 'node:crypto'
import type { WebSocket } from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import type { Call } from 'fastify-jambonz-listen'
import type { DeskOptions } from './desk.js'
import { Tap } from './Tap.js'

/** ms between two messages with levels */
const TICK = 50
/** ticks between two looks at the store, where calls of other instances change without telling us */
const POLL = 10
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
  const tickets = new Set<string>()
  const pages = new Set<WebSocket>()
  const taps = new Map<string, Tap>()
  let state = ''
  let stale = true
  let ticks = 0
  let reading: Promise<void> | undefined

  for (const event of ['call', 'listenEnded', 'callEnded'] as const) calls.events.on(event, () => { stale = true })
  calls.events.on('stream', (stream) => {
    const { callSid, listen: { id } } = stream
    const tap = new Tap(stream)
    taps.set(id, tap)
    stale = true
    stream.done.finally(() => taps.delete(id))
    stream.on('mark', () => { stale = true })
    // On the call, so that the pages of other instances see them too.
    stream.on('dtmf', () => calls.update(callSid, { keys: tap.keys }).then(() => { stale = true }, (err: unknown) => app.log.warn({ err }, 'keys not noted')))
  })
  const timer = setInterval(tick, TICK)
  app.addHook('onClose', async () => clearInterval(timer))

  // A ticket instead of the password, which Safari does not send with a socket; nor can another site's page get one.
  app.get('/ticket', async () => {
    const ticket = randomUUID()
    tickets.add(ticket)
    setTimeout(() => tickets.delete(ticket), TICKET_LIFE).unref()
    return { ticket }
  })
  app.get<{ Querystring: { ticket?: string } }>('/live', {
    websocket: true,
    preValidation: async ({ query: { ticket = '' } }, reply) => tickets.delete(ticket) ? undefined : reply.code(401).send({ message: 'GET /ticket first' })
  }, (socket) => {
    pages.add(socket)
    stale = true
    socket.send(JSON.stringify({ type: 'hello', now: Date.now(), url: environment.PUBLIC_URL }))
    if (state !== '') socket.send(state)
    socket.on('message', (data) => listenIn(socket, String(data)))
    socket.on('error', () => socket.terminate())
    socket.on('close', () => {
      listenIn(socket, '')
      pages.delete(socket)
    })
  })

  /** `{"listen":"<id>"}`, or null for none. What is binary after the answer is that listen's audio, L16. */
  function listenIn (socket: WebSocket, text: string): void {
    const id = /^\{"listen":"([\w-]+)"\}$/.exec(text)?.[1] ?? ''
    for (const tap of taps.values()) tap.supervisors.delete(socket)
    socket.send(JSON.stringify({ type: 'listening', id: taps.has(id) ? id : null }))
    taps.get(id)?.supervisors.add(socket)
  }

  function tick (): void {
    for (const tap of taps.values()) tap.open(pages.size > 0)
    if (pages.size === 0) return
    const due = ticks++ % POLL === 0
    const levels = JSON.stringify({ type: 'levels', levels: Object.fromEntries(Array.from(taps, ([id, tap]) => [id, tap.levels()])) })
    for (const socket of pages) {
      if (socket.bufferedAmount > STUCK) socket.terminate()
      else if ((due || taps.size > 0) && socket.bufferedAmount < SLOW) socket.send(levels)
    }
    if (due || stale) reading ??= tellState().catch((err: unknown) => app.log.warn({ err }, 'the calls could not be read')).finally(() => { reading = undefined })
  }

  async function tellState (): Promise<void> {
    stale = false
    const { instance, draining } = app.jambonz
    const current = (await calls.list()).filter(isCurrent).map(forPage)
    const now = JSON.stringify({ type: 'state', instance, draining, kind: environment.REDIS_URL ? 'redis' : 'memory', store: store.health?.(), calls: current })
    if (now === state) return
    state = now
    for (const socket of pages) socket.send(state)
  }
}

/** No more than the page shows: the rest of a call is nobody's in a browser. */
function forPage ({ callSid, parentCallSid, from, to, callStatus, createdAt, endedAt, data, listens }: Call): Partial<Call> {
  return { callSid, parentCallSid, from, to, callStatus, createdAt, endedAt, data, listens }
}

function isCurrent ({ endedAt, updatedAt, listens }: Call): boolean {
  if (endedAt !== undefined) return Date.now() - Date.parse(endedAt) < AFTERGLOW
  return Date.now() - Date.parse(updatedAt) < FORGOTTEN || listens.some((listen) => listen.state === 'streaming')
}
