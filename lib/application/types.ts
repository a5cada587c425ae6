import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  RouteGenericInterface,
  RouteShorthandOptions
} from 'fastify'
import type { Call, Listen } from '../model/schema.js'
import type { HandlerResult } from '../verbs/index.js'
import type { CallStatusSchema, CallWebhookSchema, ListenHookSchema } from '../model/payloads.js'

/** The type of `body`: the schema's, or that of jambonz' payload if the route has no schema of its own. */
type BodyOf<Schema extends FastifySchema, Default> = Schema extends { body: unknown }
  ? Schema
  : Schema & { body: Default }

type Request<Schema extends FastifySchema> = FastifyRequest<
  RouteGenericInterface,
  Server,
  IncomingMessage,
  Schema,
  TypeBoxTypeProvider
>

export type WebhookRequest<Schema extends FastifySchema = object> = Request<
  BodyOf<Schema, typeof CallWebhookSchema>
> & { call: Call }
export type ListenHookRequest<Schema extends FastifySchema = object> = Request<
  BodyOf<Schema, typeof ListenHookSchema>
> & { call: Call; listen: Listen }
export type StatusRequest = Request<{ body: typeof CallStatusSchema }> & { call: Call }

/** A Fastify handler, synchronous or not. */
export type Returning<Req, Result> = (
  this: FastifyInstance,
  request: Req,
  reply: FastifyReply
) => Result | Promise<Result>

type Handler<Req> = Returning<Req, HandlerResult | void>

/** Answers a call's webhook, or a hook of another verb, with verbs. */
export type WebhookHandler<Schema extends FastifySchema = object> = Handler<WebhookRequest<Schema>>
/**
 * Handles the end of a listen: its audio is complete and its recording final. (`request.listen` is undefined if the
 * path also serves hooks of other verbs.)
 */
export type ActionHookHandler<Schema extends FastifySchema = object> = Handler<ListenHookRequest<Schema>>
export type StatusHandler = (this: FastifyInstance, request: StatusRequest, reply: FastifyReply) => unknown

/** An application environment variable, as the jambonz portal shows it. */
export interface EnvVariable {
  type: 'string' | 'number' | 'boolean'
  description: string
  required?: boolean
  default?: string | number | boolean
  enum?: Array<string | number>
  [key: string]: unknown
}

/** Fastify's route options, `handler`, `method` and `url` aside. */
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
  /** answered to the portal's unsigned OPTIONS request on the same path */
  env?: Record<string, EnvVariable>
}
