import type { FastifySchema, RouteOptions } from 'fastify'
import type { TSchema } from '@sinclair/typebox'
import { AnswerSchema } from '../model/payloads.js'

/** bytes of a request: whatever less the application allows its own routes */
const BODY_LIMIT = 1024 * 1024

type Checked = Pick<RouteOptions, 'schema' | 'validatorCompiler' | 'serializerCompiler' | 'bodyLimit'>

/**
 * Returns the parts of a route's options that the application's own settings - compilers of another kind of schema,
 * options of ajv - must not change. Our schemas are there for documentation (`@fastify/swagger`): what a payload needs is
 * checked by `payloadReader()`. Schemas of the application's own on the route are its compilers' to check.
 */
export function routeSchema(
  method: 'GET' | 'POST',
  ours: TSchema,
  { schema = {}, bodyLimit, validatorCompiler, serializerCompiler }: Checked
): Checked {
  const { body, response, ...own } = schema as FastifySchema
  const checksOwn = [body, own.querystring, own.params, own.headers].some((part) => part !== undefined)
  const takesBody = method === 'POST'
  return {
    bodyLimit: bodyLimit ?? BODY_LIMIT,
    schema: {
      ...own,
      ...(takesBody && (checksOwn ? body !== undefined && { body } : { body: ours })),
      response: response ?? { 200: AnswerSchema },
      ...(!takesBody && { hide: true })
    },
    ...(!checksOwn && { validatorCompiler: validatorCompiler ?? takesAll }),
    ...(checksOwn && validatorCompiler && { validatorCompiler }),
    ...(response === undefined && { serializerCompiler: () => JSON.stringify }),
    ...(response !== undefined && serializerCompiler && { serializerCompiler })
  }
}

const takesAll = () => () => true
