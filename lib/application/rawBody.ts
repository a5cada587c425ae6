import type { FastifyInstance } from 'fastify'
import type { ApplicationOptions } from './Application.js'
import { messageOf } from './messages.js'
import { withoutBom } from './payload.js'
import { kRawBody } from './request.js'
import { verifySignature } from './signature.js'

/**
 * Makes JSON the only body a scope takes, and checks the signature over the raw bytes before they are parsed: the
 * body of somebody else is never looked into.
 */
export function parseSignedJson(
  scope: FastifyInstance,
  { webhookSecrets, signatureTolerance }: ApplicationOptions
): void {
  const parseJson = scope.getDefaultJsonParser('error', 'error')
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const message = messageOf(request)
    if (message) {
      request[kRawBody] = message.seed
      return done(null, message.payload)
    }
    try {
      if (webhookSecrets.length > 0) {
        const header = request.headers['jambonz-signature']
        verifySignature(Array.isArray(header) ? header[0] : header, body, webhookSecrets, signatureTolerance)
      }
    } catch (err) {
      return done(err as Error)
    }
    request[kRawBody] = body
    parseJson(request, withoutBom(body.toString('utf8')), done)
  })
}
