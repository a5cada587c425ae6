import type { Static, TSchema } from '@sinclair/typebox'
import type { FastifyRequest, FastifySchema } from 'fastify'
import { MAX_CALL_SID_BYTES } from '../model/listenId.js'
import { ERR_CALL_SID } from '../model/errors.js'
import { messageOf } from './messages.js'
import { kRawBody } from './request.js'

/**
 * Reads payloads as our `schema` says, also on a route whose own schema takes away what it does not name
 * (`additionalProperties: false`). What is read raises FST_JAMBONZ_CALL_SID when it is none of jambonz'.
 */
export function payloadReader<Schema extends TSchema>(
  schema: Schema,
  { body }: FastifySchema = {}
): (request: FastifyRequest) => Static<Schema> {
  if (body === undefined) return (request) => request.body as Static<Schema>
  return (request) => {
    const payload: unknown = messageOf(request)?.payload ?? JSON.parse(String(request[kRawBody]))
    if (!request.validateInput(payload, schema)) throw new ERR_CALL_SID(MAX_CALL_SID_BYTES)
    return payload as Static<Schema>
  }
}
