import { randomUUID } from 'node:crypto'
import type { Static, TObject } from '@sinclair/typebox'
import type { FastifyRequest, FastifySchema } from 'fastify'
import { ERR_CALL_SID } from '../model/errors.js'
import { MAX_CALL_SID_BYTES } from '../model/listenId.js'
import { messageOf } from './messages.js'
import { kRawBody } from './request.js'

type Data = Record<string, unknown>

/** Functions that read a property, by the type in its schema; they return undefined for a value of another type. */
const READERS: Record<string, (value: unknown) => unknown> = {
  string: (value) =>
    typeof value === 'number' ? String(value) : typeof value === 'string' ? value : undefined,
  number: (value) => (Number.isFinite(value) ? value : undefined),
  integer: (value) => (Number.isInteger(value) ? value : undefined),
  object: (value) => (isObject(value) ? value : undefined)
}

/**
 * Returns a function that reads the payloads of a route by our `schema`. It leaves out a property of another type
 * than the schema's: jambonz' payloads change, and only `call_sid` is needed. `request.body` stays unchanged. On a
 * route with its own schema, which may remove properties, it reads the raw body. The function throws
 * FST_JAMBONZ_CALL_SID.
 */
export function payloadReader<Schema extends TObject>(
  schema: Schema,
  { body }: FastifySchema = {}
): (request: FastifyRequest) => Static<Schema> {
  const fields = Object.entries(schema.properties).flatMap(([name, { type }]) => {
    const read = READERS[String(type)]
    return read === undefined ? [] : [{ name, read }]
  })
  return (request) => {
    const posted: unknown = body === undefined ? request.body : postedTo(request)
    if (!isObject(posted) || !isCallSid(posted.call_sid)) throw new ERR_CALL_SID(MAX_CALL_SID_BYTES)
    const payload: Data = { ...posted }
    for (const { name, read } of fields) {
      const value = payload[name]
      if (value === undefined) continue
      payload[name] = read(value)
      if (payload[name] === undefined) delete payload[name]
    }
    return payload as Static<Schema>
  }
}

/**
 * Returns the payload of a webhook over GET: its query. jambonz 0.9 sends none, not even the call's id (feature-server
 * lib/utils/http-requestor.js): the call then has a callSid of ours until its end.
 */
export function payloadOfQuery({ query }: FastifyRequest): Data {
  const said = isObject(query) ? query : {}
  return isCallSid(said.call_sid) ? { ...said } : { ...said, call_sid: `get-${randomUUID()}` }
}

/** Returns text without the byte order mark that some writers put before it: JSON.parse refuses that. */
export function withoutBom(text: string): string {
  return text.charCodeAt(0) === 0xfe_ff ? text.slice(1) : text
}

function postedTo(request: FastifyRequest): unknown {
  const message = messageOf(request)
  if (message) return message.payload
  const raw = request[kRawBody]
  return raw === null ? undefined : JSON.parse(withoutBom(raw.toString('utf8')))
}

function isCallSid(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= MAX_CALL_SID_BYTES
}

function isObject(value: unknown): value is Data {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
