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

/** The plugin's answer to `[{ verb: 'listen', actionHook: '/done' }]`, but with a constant id. */
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

/** Fastify alone, which answers with constant verbs. Bodies and answers have the schemas of the plugin. */
export const serveBareRoute: Serve = () => serveRoute(Fastify())

/** The bare route, which also checks the signature of the raw body. */
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

/**
 * The plugin without a store and without verbs. Its hooks, its parser, its check of signatures and its reader
 * of payloads remain.
 */
export const serveWebhookHooks: Serve = () => servePart([], FORGETFUL)

/** The plugin with a memory store, to which it writes the call. It answers without verbs. */
export const serveWebhookCall: Serve = () => servePart([])

/** The plugin with a memory store, which answers with one verb. It copies and checks this verb. */
export const serveWebhookVerb: Serve = () => servePart([{ verb: 'hangup' }])

/** The plugin without a store. It answers with a listen, which needs an id, a signed path and a hook. */
export const serveWebhookListen: Serve = () => servePart([{ verb: 'listen', actionHook: '/done' }], FORGETFUL)

const NOBODY = newCall('')

/** A store that stores nothing, so that the measurement does not include a store. */
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

/** Express and @jambonz/sdk, as in the documentation of the SDK, but with its validation off. */
export const serveExpress: Serve = () => serveSdk(false)

/** Express and @jambonz/sdk with validation on, which is the default. */
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
