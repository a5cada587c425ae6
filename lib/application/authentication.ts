import { createHash, timingSafeEqual } from 'node:crypto'
import { text } from 'node:stream/consumers'
import basicAuth from '@fastify/basic-auth'
import { errorCodes, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Hmac } from '../model/tokens.js'
import {
  ERR_SIGNATURE_MALFORMED,
  ERR_SIGNATURE_MISMATCH,
  ERR_SIGNATURE_MISSING,
  ERR_SIGNATURE_STALE
} from '../model/errors.js'
import type { Credentials } from '../model/credentials.js'
import type { ApplicationOptions } from './Application.js'
import {
  JSON_TYPE,
  MESSAGE_TYPE,
  messageOf,
  withoutBom,
  kOwnBody,
  kRawBody,
  kSignedAt,
  type JambonzMessage
} from './request.js'
import { MAX_PAYLOAD } from './websocket/wire.js'
import { wallClock } from '../model/time.js'

/**
 * Guards the scope with HTTP Basic. A request without one of the `accepted` credentials fails with `refusal` (401),
 * unless `isGuest` returns true.
 */
export async function guardWithBasicAuth(
  scope: FastifyInstance,
  accepted: readonly Credentials[],
  refusal: () => Error,
  isGuest = (_request: FastifyRequest, _reply: FastifyReply, _given: Credentials) => false
): Promise<void> {
  if (accepted.length === 0) return
  const digests = accepted.map(({ username, password }) => digest(username, password))
  await scope.register(basicAuth, {
    authenticate: { realm: 'jambonz' },
    async validate(username, password, request, reply) {
      const given = digest(username, password)
      // Compares all pairs, so that the time taken does not reveal which pair fits.
      const fitting = digests.filter((expected) => timingSafeEqual(given, expected))
      if (fitting.length === 0 && !isGuest(request, reply, { username, password })) throw refusal()
    }
  })
  scope.addHook('onRequest', function (request, reply, done) {
    // A message needs no check, since the upgrade of its websocket has checked the credentials.
    if (messageOf(request)) done()
    else scope.basicAuth.call(this, request, reply, done)
  })
}

function digest(username: string, password: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([username, password]))
    .digest()
}

/**
 * Checks the header `Jambonz-Signature: t=<unix seconds>,v1=<hex>`. `v1` is the HMAC-SHA256 of `<t>.<raw
 * body>` with the webhook secret (feature-server lib/utils/base-requestor.js). Accepts each of `secrets`, so
 * that a secret can be rotated. `tolerance`: seconds that `t` may be off, in both directions. Returns the
 * signed time. Throws an error with status 401.
 */
export function verifySignature(
  header: string | undefined,
  rawBody: Buffer,
  secrets: readonly Hmac[],
  tolerance: number
): number {
  if (header === undefined) throw new ERR_SIGNATURE_MISSING()
  const { timestamp, signatures } = parseHeader(header)
  const age = Math.abs(wallClock() / 1000 - timestamp)
  if (age > tolerance) throw new ERR_SIGNATURE_STALE(Math.round(age))
  const fits = secrets.some((secret) => {
    const expected = Buffer.from(secret.digest('hex', `${timestamp}.`, rawBody))
    return signatures.some((given) => timingSafeEqual(given, expected))
  })
  if (!fits) throw new ERR_SIGNATURE_MISMATCH()
  return timestamp
}

/**
 * Matches the header as jambonz sends it, in a quarter of the time that a search through the header's parts
 * takes.
 */
const ONE_SIGNATURE = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/

function parseHeader(header: string): { timestamp: number; signatures: Buffer[] } {
  const [, time, given] = ONE_SIGNATURE.exec(header) ?? []
  if (time !== undefined && given !== undefined) {
    return { timestamp: Number(time), signatures: [Buffer.from(given)] }
  }
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

/** Returns true for a message over the `bodyLimit` of its route. No message is over MAX_PAYLOAD, the default limit. */
function isTooLong({ payload }: JambonzMessage, limit: number): boolean {
  return limit < MAX_PAYLOAD && Buffer.byteLength(JSON.stringify(payload)) > limit
}

/**
 * Makes a scope accept only JSON bodies. Checks the signature of the raw bytes before it parses them, so that a body
 * without a valid signature is never parsed.
 */
export function parseSignedJson(
  scope: FastifyInstance,
  { webhookSecrets, signatureTolerance }: ApplicationOptions
): void {
  const parseJson = scope.getDefaultJsonParser('error', 'error')
  scope.removeAllContentTypeParsers()
  // Up to this hook, a message has the content type of jambonz' posts. MESSAGE_TYPE selects the parser below,
  // which takes the payload of the message without reading a body.
  scope.addHook('preParsing', (request, _reply, _payload, done) => {
    if (messageOf(request)) request.raw.headers['content-type'] = MESSAGE_TYPE
    done(null)
  })
  scope.addContentTypeParser(MESSAGE_TYPE, (request, body, done) => {
    const message = messageOf(request)
    if (message === undefined) return done(new errorCodes.FST_ERR_CTP_INVALID_MEDIA_TYPE())
    request.raw.headers['content-type'] = JSON_TYPE
    if (isTooLong(message, request.routeOptions.bodyLimit)) {
      return done(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE())
    }
    if (body !== request.raw) {
      // A preParsing hook of the application has replaced the body, so the new body is parsed.
      text(body).then((json) => parseJson(request, withoutBom(json), done), done)
      return
    }
    // The schema of the application may change properties that the plugin still reads, so the schema gets a
    // copy.
    const isChanged = request.routeOptions.config[kOwnBody] === true
    done(null, isChanged ? structuredClone(message.payload) : message.payload)
  })
  scope.addContentTypeParser<Buffer>(JSON_TYPE, { parseAs: 'buffer' }, (request, body, done) => {
    // A hook has read the media type of the message before MESSAGE_TYPE was set. Fastify keeps the type that
    // was read first, so the message comes here.
    if (messageOf(request)) {
      request.raw.headers['content-type'] = JSON_TYPE
      return parseJson(request, withoutBom(body.toString('utf8')), done)
    }
    try {
      if (webhookSecrets.length > 0) {
        const header = request.headers['jambonz-signature']
        const signature = Array.isArray(header) ? header[0] : header
        request[kSignedAt] = verifySignature(signature, body, webhookSecrets, signatureTolerance)
      }
    } catch (err) {
      return done(err as Error)
    }
    request[kRawBody] = body
    parseJson(request, withoutBom(body.toString('utf8')), done)
  })
}
