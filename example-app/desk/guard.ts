import { createHash, randomUUID, timingSafeEqual } from 'node:crypto'
import basicAuth from '@fastify/basic-auth'
import type { FastifyInstance } from 'fastify'
import type { Environment } from '../environment.js'

const THIS_MACHINE = ['127.0.0.1', 'localhost', '[::1]']
/** ms for which a ticket opens a socket */
const TICKET_LIFE = 10_000

/** Guards all routes of `app`: with the password where there is one, else for this machine alone. */
export async function guard(app: FastifyInstance, { DESK_PASSWORD }: Environment): Promise<void> {
  if (DESK_PASSWORD === undefined) {
    app.addHook('onRequest', async ({ hostname, headers }, reply) => {
      // A tunnel or a proxy brings strangers to this machine's own address, and so does a name that resolves to it.
      if (
        THIS_MACHINE.includes(hostname) &&
        headers['x-forwarded-for'] === undefined &&
        headers.forwarded === undefined
      ) {
        return
      }
      return reply.code(403).send({
        message:
          'The desk has no password, so it is for this machine alone: open it at 127.0.0.1, or set DESK_PASSWORD.'
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

  // Sockets open with a ticket instead: Safari sends no password with them, other browsers do for any site's page.
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

function digest(password: string): Buffer {
  return createHash('sha256').update(password).digest()
}
