import { timingSafeEqual } from 'node:crypto'
import {
  ERR_SIGNATURE_MALFORMED,
  ERR_SIGNATURE_MISMATCH,
  ERR_SIGNATURE_MISSING,
  ERR_SIGNATURE_STALE
} from '../model/errors.js'
import type { Hmac } from '../model/Hmac.js'
import type { FastifyInstance } from 'fastify'
import type { ApplicationOptions } from './Application.js'
import { messageOf } from './messages.js'
import { withoutBom } from './payload.js'
import { kRawBody } from './request.js'

/**
 * Checks `Jambonz-Signature: t=<unix seconds>,v1=<hex>`: HMAC-SHA256 of `<t>.<raw body>` with the webhook secret
 * (feature-server lib/utils/base-requestor.js). Any of `secrets` may have signed, so that one can be rotated.
 * `tolerance` in seconds, both ways. Throws an error with status 401.
 */
export function verifySignature(
  header: string | undefined,
  rawBody: Buffer,
  secrets: readonly Hmac[],
  tolerance: number
): void {
  if (header === undefined) throw new ERR_SIGNATURE_MISSING()
  const { timestamp, signatures } = parseHeader(header)
  const age = Math.abs(Date.now() / 1000 - timestamp)
  if (age > tolerance) throw new ERR_SIGNATURE_STALE(Math.round(age))
  const fits = secrets.some((secret) => {
    const expected = Buffer.from(secret.digest('hex', `${timestamp}.`, rawBody))
    return signatures.some((given) => timingSafeEqual(given, expected))
  })
  if (!fits) throw new ERR_SIGNATURE_MISMATCH()
}

function parseHeader(header: string): { timestamp: number; signatures: Buffer[] } {
  let timestamp: number | undefined
  const signatures: Buffer[] = []
  for (const part of header.split(',')) {
    const equals = part.indexOf('=')
    const name = part.slice(0, equals).trim()
    const value = part.slice(equals + 1).trim()
    if (name === 't' && /^\d{1,12}$/.test(value)) timestamp = Number(value)
    if (name === 'v1' && /^[0-9a-f]{64}$/i.test(value)) signatures.push(Buffer.from(value.toLowerCase()))
  }
  if (timestamp === undefined || signatures.length === 0) throw new ERR_SIGNATURE_MALFORMED()
  return { timestamp, signatures }
}

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
