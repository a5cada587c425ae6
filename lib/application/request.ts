import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Static, TObject } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import inject, { type InjectOptions } from 'light-my-request'
import { ERR_CALL_SID } from '../model/errors.js'
import { isObject, type Data } from '../model/json.js'
import { MAX_CALL_SID_BYTES } from '../model/tokens.js'
import type { Trace } from '../listening/tracing.js'

/** The transport of jambonz' request: `request.jambonz`. */
export interface JambonzRequest {
  readonly transport: 'http' | 'websocket'
  /** id of the message; only over the application websocket */
  readonly msgid?: string
}

// Properties of requests for the plugin alone: symbols keep them out of logs.

/** the raw bytes of the body */
export const kRawBody = Symbol('jambonz raw body')
/** seconds since the epoch, from its signature; null: it has none */
export const kSignedAt = Symbol('jambonz signed at')
/** the stage of the answer */
export const kStage = Symbol('jambonz stage')
/** the answer of the handler */
export const kReturned = Symbol('jambonz returned')
/** the span of the request, if it is traced */
export const kTrace = Symbol('jambonz trace')

/**
 * The stage of an answer.
 * `handling`: the handler runs; errors are now those of the handler or its verbs, not of the request.
 * `answering`: the handler has sent its answer, which is being prepared; `reply.sent` is still false.
 * `fallback`: the handler failed, and the answer is the fallback verbs.
 * `failed`: the handler failed, and an error handler answers.
 */
export type Stage = 'handling' | 'answering' | 'fallback' | 'failed'

/** The key in the `config` of a route whose body the application's own schema checks, and may change. */
export const kOwnBody = Symbol('jambonz own body')

declare module 'fastify' {
  interface FastifyContextConfig {
    [kOwnBody]?: boolean
  }
  interface FastifyRequest {
    /** The transport of the request; undefined on routes that are not of fastify-jambonz-listen. */
    jambonz?: JambonzRequest
    [kRawBody]: Buffer | null
    [kSignedAt]: number | null
    [kStage]: Stage | null
    [kReturned]: unknown
    [kTrace]: Trace | null
  }
}

const OVER_HTTP: JambonzRequest = Object.freeze({ transport: 'http' })

export function decorateRequests(fastify: FastifyInstance): void {
  fastify.decorateRequest('call')
  fastify.decorateRequest('listen')
  fastify.decorateRequest('jambonz')
  fastify.decorateRequest(kRawBody, null)
  fastify.decorateRequest(kSignedAt, null)
  fastify.decorateRequest(kStage, null)
  fastify.decorateRequest(kReturned, null)
  fastify.decorateRequest(kTrace, null)
}

/** Sets `request.jambonz` on every request of a scope, before all other hooks. */
export function noteTransport(scope: FastifyInstance): void {
  scope.addHook('onRequest', (request, _reply, done) => {
    const message = messageOf(request)
    request.jambonz = message ? { transport: 'websocket', msgid: message.msgid } : OVER_HTTP
    done()
  })
}

/** Adds the ids of call and listen to every later log line of the request, Fastify's own included. */
export function bindLog(
  request: FastifyRequest,
  reply: FastifyReply,
  ids: { callSid?: string; listenId?: string }
): void {
  request.log = reply.log = request.log.child(ids)
}

type Serialize = (request: FastifyRequest) => unknown
type Serializers = Record<string, unknown> | undefined

/** pino keeps a logger's serializers under this name (pino.symbols.serializersSym). */
const PINO_SERIALIZERS = Symbol.for('pino.serializers')
const KEY = /([?&]key=)[^&#]*/g

/**
 * Returns the request serializer of the host or the route, but without the key of a GET hook: readers of the log could
 * call the hook with it.
 */
export function hideHookKey(instance: FastifyInstance, own: Serializers): Serialize {
  const inherited = (instance.log as unknown as Record<symbol, Serializers>)[PINO_SERIALIZERS]
  const serialize = (own?.req ?? inherited?.req ?? basics) as Serialize
  return (request) => withoutKey(serialize(request))
}

function withoutKey(logged: unknown): unknown {
  if (typeof logged === 'string') return logged.replace(KEY, '$1…')
  if (typeof logged !== 'object' || logged === null || !('url' in logged)) return logged
  const { url } = logged
  return typeof url === 'string' ? { ...logged, url: url.replace(KEY, '$1…') } : logged
}

function basics({ method, url }: FastifyRequest): object {
  return { method, url }
}

/**
 * A message of jambonz' application websocket. A route of this plugin answers it like an HTTP request, but without a
 * check of credentials or signature: the upgrade of the socket has checked them.
 */
export interface JambonzMessage {
  readonly msgid: string
  /** parsed body: `request.body` */
  readonly payload: unknown
  /** identifies this message among those of the call; a repeated message has the same seed */
  readonly seed: Buffer
}

/** The request for a message. */
export interface MessageRequest {
  /** whole path of a webhook, actionHook or statusHook of this plugin, with its query */
  url: string
  /** headers of the websocket's upgrade; `host` is used in urls */
  headers: Record<string, string>
  /** address of jambonz */
  remoteAddress: string
}

export interface MessageAnswer {
  statusCode: number
  /** JSON of the verbs if `statusCode` is 200, after all hooks of the route */
  body: string
}

/** The content type of jambonz' requests. */
export const JSON_TYPE = 'application/json'
/** The content type of a message while its parser is chosen. No request over HTTP has it. */
export const MESSAGE_TYPE = 'application/json; jambonz=message'

/** The messages, by raw request. Nobody outside can add to it, so no header or url can pretend to be a message. */
const messages = new WeakMap<IncomingMessage, JambonzMessage>()

/**
 * Runs the route of `url` for a message, with its hooks, validation, error handler and fallback. Resolves to the
 * route's answer. Rejects if the route destroys its response, or Fastify itself fails. `fastify` must be ready, and `url` that of a route of this
 * plugin.
 */
export async function dispatchMessage(
  fastify: FastifyInstance,
  message: JambonzMessage,
  { url, headers, remoteAddress }: MessageRequest
): Promise<MessageAnswer> {
  return await new Promise((resolve, reject) => {
    inject(
      (request, response) => {
        const raw = request as unknown as IncomingMessage
        messages.set(raw, message)
        // light-my-request has parsed the url and may have changed it.
        raw.url = url
        raw._read = readPayload
        fastify.routing(raw as never, response as never)
      },
      {
        method: 'POST',
        url,
        // The parser of our scopes takes the message's payload: see readPayload.
        headers: { ...headers, 'content-type': JSON_TYPE },
        remoteAddress,
        validate: false
      } as InjectOptions,
      (err, response) => {
        if (response) resolve({ statusCode: response.statusCode, body: response.payload })
        else reject(err ?? new Error('the message was not answered'))
      }
    )
  })
}

/** Writes the body of a message, as over HTTP, for a preParsing hook of the application that reads it. */
function readPayload(this: IncomingMessage): void {
  this.push(JSON.stringify(messages.get(this)?.payload))
  this.push(null)
}

/** Returns the message of a request; undefined for a request over HTTP. */
export function messageOf({ raw }: Pick<FastifyRequest, 'raw'>): JambonzMessage | undefined {
  return messages.get(raw)
}

/** Returns what identifies a request among those of its call: the bytes of its body, or the seed of its message. */
export function bodyBytesOf(request: FastifyRequest): Buffer | null {
  return request[kRawBody] ?? messageOf(request)?.seed ?? null
}

/** Functions that read a property, by its type in the schema. They return undefined for a value of another type. */
const READERS: Record<string, (value: unknown) => unknown> = {
  string: (value) =>
    typeof value === 'number' ? String(value) : typeof value === 'string' ? value : undefined,
  number: (value) => (Number.isFinite(value) ? value : undefined),
  integer: (value) => (Number.isInteger(value) ? value : undefined),
  object: (value) => (isObject(value) ? value : undefined)
}

/**
 * Returns a function that reads the payloads of a route by the plugin's `schema`. It leaves out properties whose type
 * is not that of the schema: jambonz' payloads change, and only `call_sid` is needed. `request.body` stays unchanged,
 * and may be the returned object itself. On a route with its own schema, which may remove properties, it reads the raw
 * body. The function throws FST_JAMBONZ_CALL_SID.
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
    let payload = posted
    for (const { name, read } of fields) {
      const value = posted[name]
      if (value === undefined || read(value) === value) continue
      if (payload === posted) payload = { ...posted }
      payload[name] = read(value)
      if (payload[name] === undefined) delete payload[name]
    }
    return payload as Static<Schema>
  }
}

/**
 * Returns the payload of a webhook over GET: its query. jambonz 0.9 sends none, not even the call's id (feature-server
 * lib/utils/http-requestor.js): the payload then gets a random callSid.
 */
export function payloadOfQuery({ query }: FastifyRequest): Data {
  const said = isObject(query) ? query : {}
  return isCallSid(said.call_sid) ? { ...said } : { ...said, call_sid: `get-${randomUUID()}` }
}

/** Returns text without a byte order mark, which JSON.parse refuses. */
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
