import { createHash, randomUUID, timingSafeEqual } from 'node:crypto'
import basicAuth from '@fastify/basic-auth'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Environment } from '../environment.js'

const THIS_MACHINE = ['127.0.0.1', 'localhost', '[::1]']
const LOCAL_HOST = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?$/
const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/
/**
 * Matches the headers that a browser or tool on this machine sends. A request with another header may come
 * from a proxy.
 */
const LOCAL_HEADERS =
  /^(?:host|connection|upgrade|user-agent|accept(?:-[a-z]+)?|origin|referer|cookie|authorization|content-(?:type|length)|transfer-encoding|range|if-[a-z-]+|cache-control|pragma|sec-[a-z0-9-]+|upgrade-insecure-requests|dnt|te|priority|save-data|purpose)$/
/** ms after which a ticket expires */
const TICKET_LIFE = 10_000

/**
 * Protects all routes of `app`. If a password is set, requests need it; otherwise only this machine has
 * access.
 */
export async function guard(app: FastifyInstance, { DESK_PASSWORD }: Environment): Promise<void> {
  if (DESK_PASSWORD === undefined) {
    app.addHook('onRequest', async (request, reply) => {
      const why = foreign(request)
      if (why === undefined) return
      request.log.warn({ why }, 'the desk refused a request from elsewhere')
      return reply.code(403).send({
        message: `The desk has no password, so it is for this machine alone, and this request ${why}: open it at 127.0.0.1, or set DESK_PASSWORD.`
      })
    })
  } else {
    await app.register(basicAuth, {
      authenticate: { realm: 'desk' },
      async validate(_user, password) {
        if (!timingSafeEqual(digest(password), digest(DESK_PASSWORD))) throw new Error('wrong password')
      }
    })
    app.addHook('onRequest', (request, reply, done) =>
      request.ws ? done() : app.basicAuth(request, reply, done)
    )
  }

  // Websockets need a ticket instead of the password, because Safari sends no password with a websocket, and
  // other browsers send it even for a page of another site.
  const tickets = new Set<unknown>()
  app.get('/ticket', async () => {
    const ticket = randomUUID()
    tickets.add(ticket)
    setTimeout(() => tickets.delete(ticket), TICKET_LIFE).unref()
    return { ticket }
  })
  app.addHook('onRequest', async ({ ws, query }, reply) => {
    if (ws && !tickets.delete((query as { ticket?: unknown }).ticket)) {
      return reply.code(401).send({ message: 'GET /ticket first' })
    }
  })
}

/**
 * Returns why a request may come from outside of this machine; undefined if it comes from a browser or tool
 * on this machine. The address alone does not tell, because requests through a tunnel or proxy come from this
 * machine's address, and a foreign name may resolve to this address.
 */
function foreign({ headers, ip, raw }: FastifyRequest): string | undefined {
  if (!LOOPBACK.test(ip)) return `came from ${ip}`
  // If a request has several Host headers, it is refused, because Node keeps only the first header, which may
  // not be the one that the sender meant.
  const hosts = raw.rawHeaders.filter((_, at, all) => at % 2 === 1 && all[at - 1]?.toLowerCase() === 'host')
  if (hosts.length > 1) return `was sent to ${hosts.join(' and ')}`
  if (!LOCAL_HOST.test(headers.host ?? '')) return `was sent to ${headers.host}`
  if (raw.url?.startsWith('/') !== true) return `is for ${raw.url}, as one to a proxy is`
  const unknown = Object.keys(headers).find((name) => !LOCAL_HEADERS.test(name))
  if (unknown !== undefined) return `has the header ${unknown}, as one through a proxy has`
  for (const name of ['origin', 'referer'] as const) {
    const page = headers[name]
    if (page !== undefined && !isHere(page)) return `is of a page elsewhere (${name})`
  }
  const { 'sec-fetch-site': site = 'none', 'sec-fetch-dest': dest } = headers
  // A link on another page may open this page (`document`), because the other page can't read its content.
  if (site !== 'none' && site !== 'same-origin' && dest !== 'document') {
    return `is of a page elsewhere (${site})`
  }
  // Refuses requests through an nginx without further settings. It sends the upstream's name as Host, adds no
  // header, and uses HTTP/1.0.
  if (raw.httpVersion === '1.0') return 'speaks HTTP/1.0, as proxies do'
  const connection = headers.connection?.toLowerCase() ?? 'keep-alive'
  const isKept = connection.includes('keep-alive')
  const isUpgraded = connection.includes('upgrade') && headers.upgrade !== undefined
  return isKept || isUpgraded
    ? undefined
    : `has the header connection: ${connection}, as one through a proxy has`
}

function isHere(page: string): boolean {
  return URL.canParse(page) && THIS_MACHINE.includes(new URL(page).hostname)
}

function digest(password: string): Buffer {
  return createHash('sha256').update(password).digest()
}
