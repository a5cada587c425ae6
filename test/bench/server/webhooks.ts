import { createHmac, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebhookResponse } from '@jambonz/sdk/webhook'
import express from 'express'
import Fastify from 'fastify'
import { WEBHOOK_SECRET } from '../load/jambonz.js'
import type { Serve } from './types.js'

const VERBS = [{ verb: 'listen', url: '/audio/some-call', actionHook: '/done?listen=some-call', mixType: 'mono', sampleRate: 8000, metadata: { jambonzListenId: 'some-call' } }]

/** Fastify alone, which answers verbs. */
export const serveBareRoute: Serve = async () => {
  const fastify = Fastify()
  fastify.post('/record', async () => VERBS)
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  return { port: (fastify.server.address() as AddressInfo).port }
}

/** The same, with the signature checked over the raw body. */
export const serveSignedRoute: Serve = async () => {
  const fastify = Fastify()
  fastify.removeContentTypeParser('application/json')
  fastify.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const [, timestamp = '', given = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers['jambonz-signature'])) ?? []
    const expected = createHmac('sha256', WEBHOOK_SECRET).update(`${timestamp}.`).update(body).digest()
    if (given === '' || !timingSafeEqual(Buffer.from(given, 'hex'), expected)) return done(new Error('not signed'))
    done(null, JSON.parse(body.toString()))
  })
  fastify.post('/record', async () => VERBS)
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  return { port: (fastify.server.address() as AddressInfo).port }
}

/** Express and @jambonz/sdk as its documentation shows them, its validation turned off. */
export const serveExpress: Serve = () => serveSdk(false)

/** The same, with the validation that is its default. */
export const serveExpressValidating: Serve = () => serveSdk(true)

async function serveSdk (validate: boolean) {
  const app = express()
  app.use(express.json({ verify: (request, _response, body) => { Object.assign(request, { rawBody: body }) } }))
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
