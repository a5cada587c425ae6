import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { inspect } from 'node:util'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { TSchema } from '@sinclair/typebox'
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  RouteGenericInterface,
  RouteShorthandOptions,
  FastifyError,
  RouteOptions
} from 'fastify'
import {
  ERR_HANDLER_THREW,
  ERR_MESSAGE_TOO_LONG,
  ERR_VERB_INVALID,
  ERR_WEBHOOK_AUTH
} from '../model/errors.js'
import {
  type CallStatusSchema,
  type CallWebhookSchema,
  type ListenHookSchema,
  AnswerSchema
} from '../model/payloads.js'
import { isThenable, isError } from '../model/json.js'
import type { Call, Listen } from '../model/schema.js'
import { MAX_SHOWN, shown } from '../verbs/validate.js'
import type { Accepted, Corrected, HandlerResult } from '../verbs/index.js'
import type { Application } from './Application.js'
import { answer, withRestartInBody } from './answer.js'
import { guardWithBasicAuth, parseSignedJson } from './authentication.js'
import { warnOfDecline } from './hookUrls.js'
import { observeRequests, type RequestKind } from './observeRequests.js'
import { messageOf, kReturned, kStage, noteTransport } from './request.js'
import { MAX_VERBS_BYTES } from './websocket/wire.js'

/** The schema of a route, whose body is jambonz' payload if the route has no body schema of its own. */
type BodyOf<Schema extends FastifySchema, Default> = Schema extends { body: unknown }
  ? Schema
  : Schema & { body: Default }

/** `Route`: types that the application gives itself, as in `webhook<{ Params: { tenant: string } }>(…)`. */
type Request<Route extends RouteGenericInterface, Schema extends FastifySchema> = FastifyRequest<
  Route,
  Server,
  IncomingMessage,
  Schema,
  TypeBoxTypeProvider
>

export type WebhookRequest<
  Schema extends FastifySchema = object,
  Route extends RouteGenericInterface = RouteGenericInterface
> = Request<Route, BodyOf<Schema, typeof CallWebhookSchema>> & { call: Call }
export type ListenHookRequest<
  Schema extends FastifySchema = object,
  Route extends RouteGenericInterface = RouteGenericInterface
> = Request<Route, BodyOf<Schema, typeof ListenHookSchema>> & { call: Call; listen: Listen }
export type StatusRequest<Route extends RouteGenericInterface = RouteGenericInterface> = Request<
  Route,
  { body: typeof CallStatusSchema }
> & { call: Call }

/** A Fastify handler, synchronous or not. */
export type Returning<Req, Result> = (
  this: FastifyInstance,
  request: Req,
  reply: FastifyReply
) => Result | Promise<Result>

type Handler<Req> = Returning<Req, HandlerResult | void>

/** A handler with an inferred result. A mistake in its verbs is a type error that names the mistake. */
export type CheckedHandler<Req, Result> = Returning<Req, Result> &
  Accepted<Result, Returning<Req, Corrected<Result>>>

/** Answers a call's webhook, or a hook of another verb, with verbs. */
export type WebhookHandler<Schema extends FastifySchema = object> = Handler<WebhookRequest<Schema>>
/**
 * Runs when a listen has ended, its audio is complete and its recording is final. If the path also serves
 * hooks of other verbs, `request.listen` is undefined for these hooks.
 */
export type ActionHookHandler<Schema extends FastifySchema = object> = Handler<ListenHookRequest<Schema>>
export type StatusHandler<Route extends RouteGenericInterface = RouteGenericInterface> = (
  this: FastifyInstance,
  request: StatusRequest<Route>,
  reply: FastifyReply
) => unknown

/** An application environment variable, as the jambonz portal shows it. */
export interface EnvVariable {
  type: 'string' | 'number' | 'boolean'
  description: string
  required?: boolean | undefined
  default?: string | number | boolean | undefined
  enum?: Array<string | number> | undefined
  [key: string]: unknown
}

/** Fastify's route options, without `handler`, `method` and `url`. */
export type HookRouteOptions<Schema extends FastifySchema = object> = Omit<
  RouteShorthandOptions<
    Server,
    IncomingMessage,
    ServerResponse,
    RouteGenericInterface,
    unknown,
    Schema,
    TypeBoxTypeProvider
  >,
  'websocket' | 'wsHandler'
>

export interface WebhookRouteOptions<Schema extends FastifySchema = object> extends HookRouteOptions<Schema> {
  /** the answer to the portal's unsigned OPTIONS request on the same path */
  env?: Record<string, EnvVariable> | undefined
}

/**
 * Registers a scope for routes that jambonz calls, with the prefix and hooks of `instance`. It checks credentials,
 * signature and JSON, as the options require.
 */
export function jambonzScope(
  instance: FastifyInstance,
  application: Application,
  kind: RequestKind,
  addRoutes: (scope: FastifyInstance) => void
): void {
  const { webhookAuth } = application.options
  instance.register(async function jambonzHook(scope) {
    noteTransport(scope)
    observeRequests(scope, application, kind)
    await guardWithBasicAuth(scope, webhookAuth ? [webhookAuth] : [], () => new ERR_WEBHOOK_AUTH())
    parseSignedJson(scope, application.options)
    checkSent(scope)
    addRoutes(scope)
  })
}

/** The forms of a handler's answer, for the texts of errors. */
const FORMS = 'an array of verbs, one verb, a WebhookResponse'
const OK = 200
const HEADERS_OF_BODY = ['content-type', 'content-length', 'content-encoding'] as const

/**
 * Fails a handler whose answer jambonz could not take. The fallback verbs are then answered. Text, bytes or a
 * stream with status 200 would count as no verbs; with another status, or with a JSON content type, they are
 * sent unchanged. An answer that is too long for the application websocket would close it.
 */
function checkSent(scope: FastifyInstance): void {
  scope.addHook('onSend', (request, reply, sent, done) => {
    const mayBeWrong = request[kStage] === 'handling' && reply.statusCode === OK && !isJson(reply)
    const kind = mayBeWrong ? kindOf(sent) : undefined
    if (kind !== undefined) {
      dropBody(reply, sent)
      done(
        new ERR_VERB_INVALID(
          `the handler sent ${kind} with status 200, which jambonz takes for no verbs: send or return ${FORMS}, set another status, or the content type application/json for text that is JSON of verbs`
        )
      )
      return
    }
    const payload = withRestartInBody(request, reply, sent)
    // With a serializer of the reply, Fastify sets no content type, and jambonz ignores an answer without one.
    const isText = typeof payload === 'string' && payload !== ''
    if (request[kStage] !== null && isText && !reply.hasHeader('content-type')) {
      reply.type('application/json; charset=utf-8')
    }
    const isMessage = messageOf(request) !== undefined && reply.statusCode < 300
    const bytes = isMessage && isText ? Buffer.byteLength(payload) : 0
    if (bytes > MAX_VERBS_BYTES) done(new ERR_MESSAGE_TOO_LONG(MAX_VERBS_BYTES, bytes))
    else done(null, payload)
  })
}

/** Drops the body that a handler has sent, and its headers, since another body or none is answered. */
export function dropBody(reply: FastifyReply, payload: unknown): void {
  if (payload instanceof Readable) payload.destroy()
  for (const name of HEADERS_OF_BODY) reply.removeHeader(name)
}

function isJson(reply: FastifyReply): boolean {
  return String(reply.getHeader('content-type')).includes('json')
}

/** Returns the kind of an answer that can't be verbs; undefined for any other answer, and for an empty text. */
function kindOf(answered: unknown): string | undefined {
  if (typeof answered === 'string') return answered === '' ? undefined : 'text'
  if (ArrayBuffer.isView(answered)) return 'bytes'
  return answered instanceof Readable || answered instanceof ReadableStream ? 'a stream' : undefined
}

type VerbHandler = (this: FastifyInstance, request: never, reply: never) => unknown

/**
 * Returns Fastify's route options for a handler whose result, returned or sent, becomes verbs. `instance`:
 * `this` in the handler.
 */
export function verbRoute(
  instance: FastifyInstance,
  application: Application,
  handler: VerbHandler,
  options: Partial<RouteOptions>
): Pick<RouteOptions, 'handler' | 'preSerialization' | 'errorHandler'> {
  const userHooks = [options.preSerialization ?? []].flat()
  return {
    handler: returning((handler as PlainHandler).bind(instance)),
    preSerialization: [
      async (request, reply, payload) => {
        if (request[kStage] === 'handling') request[kStage] = 'answering'
        if (request[kStage] === null || reply.statusCode >= 300 || request.call === undefined) return payload
        const verbs = await answer(application, request, request.call, withoutEnvelope(request, payload))
        if (verbs.length === 0) warnOfDecline(application, request, request.call)
        if (options.schema === undefined || !('response' in (options.schema as object))) {
          reply.serializer(JSON.stringify)
        }
        return verbs
      },
      ...userHooks
    ],
    errorHandler(this: FastifyInstance, thrown: FastifyError, request, reply) {
      const error = asError(thrown)
      const { fallback } = application.options
      const stage = request[kStage]
      if (
        fallback !== undefined &&
        !reply.raw.headersSent &&
        (stage === 'handling' || stage === 'answering')
      ) {
        request[kStage] = 'fallback'
        request.log.error({ err: error }, 'webhook failed: the fallback verbs are answered')
        return reply.code(200).send(noted(request, fallback))
      }
      if (stage === 'handling') request[kStage] = 'failed'
      return options.errorHandler ? options.errorHandler.call(this, error, request, reply) : reply.send(error)
    }
  }
}

type PlainHandler = (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) => unknown

/**
 * Returns a handler that answers an empty list of verbs if `handler` returns nothing, so that jambonz
 * continues with the verbs that it has.
 */
function returning(handler: PlainHandler): PlainHandler {
  return function (request, reply) {
    request[kStage] = 'handling'
    let result: unknown
    try {
      result = handler.call(this, request, reply)
    } catch (err) {
      throw asError(err)
    }
    if (isThenable(result)) {
      return result.then(
        (verbs) => {
          const answered = noText(verbs, reply)
          return answered === undefined && isAnswered(request, reply) ? reply : noted(request, answered)
        },
        (err: unknown) => {
          throw asError(err)
        }
      )
    }
    // As in Fastify, a handler with the parameter `reply` may call `reply.send()` later.
    if (result === undefined && (isAnswered(request, reply) || handler.length > 1)) return reply
    return noted(request, noText(result, reply))
  }
}

/** Stores the answer of a handler in the request, and returns it. */
function noted(request: FastifyRequest, answered: unknown): unknown {
  request[kReturned] = answered ?? []
  return request[kReturned]
}

/**
 * Returns the verbs to answer: the `payload`, which preSerialization hooks of the application may have
 * changed. If a hook has put the handler's answer into an envelope, returns the handler's answer itself,
 * since jambonz needs an array.
 */
function withoutEnvelope({ [kReturned]: returned }: FastifyRequest, payload: unknown): HandlerResult {
  if (payload === returned) return returned as HandlerResult
  const isWrapped = returned !== null && Object.values(payload ?? {}).includes(returned)
  return (isWrapped && !Array.isArray(payload) ? returned : payload) as HandlerResult
}

/** Returns a thrown value as an error. Fastify would send a thrown string as the answer. */
export function asError(thrown: unknown): FastifyError {
  if (isError(thrown)) return thrown as FastifyError
  const isData = typeof thrown === 'object' && thrown !== null
  return new ERR_HANDLER_THREW(isData ? shown('', thrown) : inspect(thrown).slice(0, MAX_SHOWN))
}

/** Returns true if the handler has called `reply.send()`. */
function isAnswered(request: FastifyRequest, reply: FastifyReply): boolean {
  return reply.sent || request[kStage] !== 'handling'
}

/**
 * Throws if the answer is text, bytes or a stream. Fastify would send them unchanged, and jambonz would ignore them.
 */
function noText(result: unknown, reply: FastifyReply): unknown {
  const kind = reply.statusCode < 300 ? (result === '' ? 'text' : kindOf(result)) : undefined
  if (kind !== undefined) {
    throw new ERR_VERB_INVALID(`the handler returned ${kind}: return ${FORMS}, or nothing`)
  }
  return result
}

/** Maximum bytes of a request. A limit that the application sets for its own routes does not apply. */
const BODY_LIMIT = 1024 * 1024

type Checked = Pick<RouteOptions, 'schema' | 'validatorCompiler' | 'serializerCompiler' | 'bodyLimit'>

/**
 * Returns the route options that keep settings of the application, such as its compilers or ajv options, away
 * from the plugin's routes. The plugin's schemas are only documentation (`@fastify/swagger`), since
 * `payloadReader()` checks the payloads. The compilers of the application check its own schemas.
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

/** A validator compiler for routes whose requests the plugin checks itself. */
export const takesAll = () => () => true
