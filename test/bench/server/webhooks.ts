import { createHmac, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebhookResponse } from '@jambonz/sdk/webhook'
import express from 'express'
import Fastify, { type FastifyInstance } from 'fastify'
import jambonzListen, { type CallStore, type HandlerResult } from '../../../lib/index.js'
import { newCall } from '../../../lib/model/callWrite.js'
import { AnswerSchema, CallWebhookSchema } from '../../../lib/model/payloads.js'
import { WEBHOOK_SECRET } from '../load/jambonz.js'
import type { Serve, Served } from './types.js'

/** The parts of the plugin's answer to `[{ verb: 'listen', actionHook: '/done' }]`, with constant ids. */
const ID = 'b0000000000040008000000000000000-0123456789abcdef'
const VERBS = [
  {
    verb: 'listen',
    id: ID,
    actionHook: `/done?listen=${ID}`,
    url: `/audio/${ID}.0123456789abcdefABCDEF`,
    metadata: { jambonzListenId: ID }
  }
]

/** Fastify alone, which answers with verbs. It has the plugin's own schemas of bodies and answers. */
export const serveBareRoute: Serve = () => serveRoute(Fastify())

/** The same, which also checks the signature over the raw body. */
export const serveSignedRoute: Serve = () => {
  const fastify = Fastify()
  fastify.removeContentTypeParser('application/json')
  fastify.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const [, timestamp = '', given = ''] =
      /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers['jambonz-signature'])) ?? []
    const expected = createHmac('sha256', WEBHOOK_SECRET).update(`${timestamp}.`).update(body).digest()
    if (given === '' || !timingSafeEqual(Buffer.from(given, 'hex'), expected)) {
      return done(new Error('not signed'))
    }
    done(null, JSON.parse(body.toString()))
  })
  return serveRoute(fastify)
}

async function serveRoute(fastify: FastifyInstance): Promise<Served> {
  fastify.post(
    '/record',
    { schema: { body: CallWebhookSchema, response: { 200: AnswerSchema } } },
    async () => VERBS
  )
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  return { port: (fastify.server.address() as AddressInfo).port }
}

/** The plugin with signatures but without a store and verbs. Its hooks, parser and reader of payloads remain. */
export const serveWebhookHooks: Serve = () => servePart([], FORGETFUL)

/** The same, which also writes the call to memory. */
export const serveWebhookCall: Serve = () => servePart([])

/** The same, which also copies and checks a verb. */
export const serveWebhookVerb: Serve = () => servePart([{ verb: 'hangup' }])

/** The plugin with a listen (its id, signed path and hook) and without a store. */
export const serveWebhookListen: Serve = () => servePart([{ verb: 'listen', actionHook: '/done' }], FORGETFUL)

const NOBODY = newCall('')

/** A store that keeps nothing, so that the cost of a store is not measured. */
const FORGETFUL: CallStore = {
  shared: false,
  start: async () => {},
  get: async () => undefined,
  list: async () => [],
  write: async (_callSid, write) => ({
    created: true,
    applied: write.map(() => true),
    kept: true,
    call: NOBODY
  }),
  waitFor: async () => undefined,
  tell: () => {},
  health: () => ({ available: true, pending: 0, dropped: 0 }),
  close: async () => {}
}

async function servePart(verbs: HandlerResult, store?: CallStore): Promise<Served> {
  const fastify = Fastify()
  await fastify.register(jambonzListen, {
    webhookSecret: WEBHOOK_SECRET,
    secret: 'shared by all instances',
    ...(store && { store })
  })
  fastify.jambonz.webhook('/record', () => verbs)
  fastify.jambonz.actionHook('/done', () => [])
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  return { port: (fastify.server.address() as AddressInfo).port }
}

/** Express and @jambonz/sdk as in its documentation, with its validation off. */
export const serveExpress: Serve = () => serveSdk(false)

/** The same with validation on, as by default. */
export const serveExpressValidating: Serve = () => serveSdk(true)

async function serveSdk(validate: boolean) {
  const app = express()
  app.use(
    express.json({
      verify: (request, _response, body) => {
        Object.assign(request, { rawBody: body })
      }
    })
  )
  app.use(WebhookResponse.verifySignature(WEBHOOK_SECRET))
  app.post('/record', (_request, response) => {
    const verbs = new WebhookResponse({ validate })
    verbs.listen({ url: '/audio', actionHook: '/done' })
    response.json(verbs)
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port }
}
