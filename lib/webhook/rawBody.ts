import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ResolvedOptions } from '../options.js'
import { verifySignature } from './signature.js'

const NO_BODY = Buffer.alloc(0)
const rawBodies = new WeakMap<object, Buffer>()

/** The bytes of the request's body, as they came. */
export function rawBodyOf (request: FastifyRequest): Buffer {
  return rawBodies.get(request.raw) ?? NO_BODY
}

/**
 * Makes JSON the only body a scope takes, and checks the signature over the raw bytes before they are parsed: the
 * body of somebody else is never looked into.
 */
export function parseSignedJson (scope: FastifyInstance, { webhookSecrets, signatureTolerance }: ResolvedOptions): void {
  const parseJson = scope.getDefaultJsonParser('error', 'error')
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      if (webhookSecrets.length > 0) {
        const header = request.headers['jambonz-signature']
        verifySignature(Array.isArray(header) ? header[0] : header, body, webhookSecrets, signatureTolerance)
      }
    } catch (err) {
      return done(err as Error)
    }
    rawBodies.set(request.raw, body)
    parseJson(request, body.toString('utf8'), done)
  })
}
