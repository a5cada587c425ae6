import { randomUUID } from 'node:crypto'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Static, TObject } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
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

// Properties of requests for the plugin alone. They are symbols, so that logs do not show them.

/** the raw bytes of the body */
export const kRawBody = Symbol('jambonz raw body')
/** time in the signature of the request, seconds since the epoch; null if the request has no signature */
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
  for (const name of ['call', 'listen', 'jambonz']) fastify.decorateRequest(name)
  for (const key of [kRawBody, kSignedAt, kStage, kReturned, kTrace]) fastify.decorateRequest(key, null)
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

/**
 * A message of jambonz' application websocket. A route of this plugin answers it like an HTTP request, but
 * without a check of credentials or signature, since the upgrade of the socket has checked the credentials.
 */
export interface JambonzMessage {
  readonly msgid: string
  /** parsed body: `request.body` */
  readonly payload: unknown
  /** identifies this message among the messages of the call; a repeated message has the same seed */
  readonly seed: Buffer
}

/** The request for a message. */
export interface MessageRequest {
  /** whole path of a webhook, actionHook or statusHook of this plugin, with its query */
  url: string
  /** headers of the websocket's upgrade; `host` is used in urls */
  headers: Readonly<Record<string, string>>
  /** the connection of the request, as hooks see it */
  connection: MessageConnection
}

export interface MessageAnswer {
  statusCode: number
  /** JSON of the verbs if `statusCode` is 200, after all hooks of the route */
  body: string
}

/** The content type of jambonz' requests. */
export const JSON_TYPE = 'application/json'
/** The content type of a message while its parser is chosen. No request over HTTP has this type. */
export const MESSAGE_TYPE = 'application/json; jambonz=message'

type Connected = Partial<Pick<Socket, 'remoteAddress' | 'remotePort'>> & { encrypted?: boolean }

/**
 * The connection of the messages of one application websocket, as hooks see it: the addresses and the encryption of
 * the websocket. Bytes that are written to it go nowhere, so that no hook can break the websocket.
 */
export class MessageConnection extends Socket {
  // When the websocket closes, its TCP socket loses these addresses, so they are copied.
  override readonly remoteAddress: string | undefined
  override readonly remotePort: number | undefined
  readonly encrypted: boolean

  constructor({ remoteAddress, remotePort, encrypted }: Connected) {
    super()
    this.remoteAddress = remoteAddress
    this.remotePort = remotePort
    this.encrypted = encrypted === true
    this.on('error', () => {})
  }
}

/** The raw request of a message. It has its methods as own properties, since Express replaces its prototype. */
class MessageIncoming extends IncomingMessage {
  // Code outside of this class can't set a private field, so no request over HTTP can pretend to be a message.
  readonly #message: JambonzMessage
  #isRead = false
  /** Destroys the response when this request is destroyed. The response sets it. */
  destroyResponse: (error: Error | null) => void = () => {}

  constructor(message: JambonzMessage, { url, headers, connection }: MessageRequest) {
    super(connection)
    this.#message = message
    this.method = 'POST'
    this.url = url
    this.httpVersion = '1.1'
    this.httpVersionMajor = 1
    this.httpVersionMinor = 1
    this.complete = true
    this.headers = { ...headers, 'content-type': JSON_TYPE }
    this.rawHeaders = Object.entries({ ...headers, 'content-type': JSON_TYPE }).flat()
    Object.assign(this, { _read: this._read, _destroy: this._destroy })
  }

  static messageOf(raw: IncomingMessage): JambonzMessage | undefined {
    return #message in raw ? raw.#message : undefined
  }

  /**
   * Delivers the body like a request over HTTP, for a hook of the application that reads it. The parser of our routes
   * takes the payload without reading.
   */
  override _read(): void {
    if (this.#isRead) return
    this.#isRead = true
    this.push(JSON.stringify(this.#message.payload))
    this.push(null)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // Node destroys a request that was read to its end. The response must not be destroyed then.
    if (error || !this.readableEnded) this.destroyResponse(error)
    callback(this.listenerCount('error') > 0 ? error : null)
  }
}

/**
 * The raw response to a message. It keeps its body in memory, and emits `finish` and `close` like a response that was
 * sent. It has its methods as own properties, too.
 */
class MessageResponse extends ServerResponse {
  readonly #answered: (answer: MessageAnswer) => void
  readonly #failed: (error: Error) => void
  readonly #chunks: Uint8Array[] = []

  constructor(
    request: MessageIncoming,
    answered: (answer: MessageAnswer) => void,
    failed: (error: Error) => void
  ) {
    super(request)
    this.#answered = answered
    this.#failed = failed
    Object.assign(this, { socket: request.socket, write: this.write, end: this.end, destroy: this.destroy })
    // Node.js 24 no longer derives this property from others.
    Object.defineProperty(this, 'writableFinished', { value: false, writable: true })
    request.destroyResponse = (error) => this.destroy(error ?? undefined)
  }

  override write(...args: unknown[]): boolean {
    const [chunk, encoding, callback] = argumentsOf(args)
    // A write after the end is a mistake of the caller, which Node's own method reports.
    if (this.writableEnded || this.destroyed) return super.write(chunk, encoding, callback)
    if (!this.headersSent) this.writeHead(this.statusCode)
    this.#chunks.push(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : (chunk as Uint8Array))
    if (callback) process.nextTick(callback)
    return true
  }

  override end(...args: unknown[]): this {
    const [chunk, encoding, callback] = argumentsOf(args)
    if (this.writableEnded || this.destroyed) return super.end(callback)
    const isWhole = typeof chunk === 'string' && encoding === 'utf8' && this.#chunks.length === 0
    if (chunk != null && !isWhole) this.write(chunk, encoding)
    if (!this.headersSent) this.writeHead(this.statusCode)
    this.finished = true
    this.destroyed = true
    if (callback) this.once('finish', callback)
    process.nextTick(() => {
      Object.assign(this, { writableFinished: true })
      this.emit('finish')
      this.#close()
    })
    this.#answered({
      statusCode: this.statusCode,
      body: isWhole ? chunk : Buffer.concat(this.#chunks).toString()
    })
    return this
  }

  override destroy(error?: Error): this {
    if (this.destroyed) return this
    this.destroyed = true
    this.#failed(error ?? new Error('the route destroyed its response'))
    process.nextTick(() => {
      if (error && this.listenerCount('error') > 0) this.emit('error', error)
      this.#close()
    })
    return this
  }

  #close(): void {
    // `finished()` of node:stream looks at this property.
    Object.assign(this, { _closed: true })
    this.emit('close')
  }
}

type Callback = () => void

/** Returns the arguments of `write()` and `end()`, of which each may be left out. */
function argumentsOf(args: unknown[]): [chunk: unknown, encoding: BufferEncoding, callback?: Callback] {
  const [chunk, encoding, callback] = args
  if (typeof chunk === 'function') return [undefined, 'utf8', chunk as Callback]
  if (typeof encoding === 'function') return [chunk, 'utf8', encoding as Callback]
  return [chunk, (encoding ?? 'utf8') as BufferEncoding, (callback ?? undefined) as Callback | undefined]
}

/**
 * Runs the route of `asked.url` for a message, with its hooks, validation, error handler and fallback. Resolves to the
 * route's answer. Rejects if the route destroys its response, or Fastify itself fails. `fastify` must be ready, and
 * `asked.url` must lead to a route of this plugin.
 */
export function dispatchMessage(
  fastify: FastifyInstance,
  message: JambonzMessage,
  asked: MessageRequest
): Promise<MessageAnswer> {
  return new Promise((resolve, reject) => {
    const raw = new MessageIncoming(message, asked)
    fastify.routing(raw, new MessageResponse(raw, resolve, reject))
  })
}

/** Returns the message of a request; undefined for a request over HTTP. */
export function messageOf({ raw }: Pick<FastifyRequest, 'raw'>): JambonzMessage | undefined {
  return MessageIncoming.messageOf(raw)
}

/** Returns the bytes that tell a request from the other requests of its call: its body, or the seed of its message. */
export function bodyBytesOf(request: FastifyRequest): Buffer | null {
  return request[kRawBody] ?? messageOf(request)?.seed ?? null
}

/** Functions that read a property, by its type in the schema. Each returns undefined for a value of another type. */
const READERS: Record<string, (value: unknown) => unknown> = {
  string: (value) =>
    typeof value === 'number' ? String(value) : typeof value === 'string' ? value : undefined,
  number: (value) => (Number.isFinite(value) ? value : undefined),
  integer: (value) => (Number.isInteger(value) ? value : undefined),
  object: (value) => (isObject(value) ? value : undefined)
}

/**
 * Returns a function that reads the payloads of a route by the plugin's `schema`. The function leaves out properties of
 * a wrong type, since jambonz' payloads change and only `call_sid` is needed. Without a valid `call_sid`, it throws
 * FST_JAMBONZ_CALL_SID. It does not change `request.body`, which may be the returned object itself. On a route with a
 * body schema of the application, which may remove properties, it reads the raw body.
 */
export function payloadReader<Schema extends TObject>(
  schema: Schema,
  { body }: FastifySchema = {}
): (request: FastifyRequest) => Static<Schema> {
  const readers = new Map(
    Object.entries(schema.properties).map(([name, { type }]) => [name, READERS[String(type)]])
  )
  return (request) => {
    const posted: unknown = body === undefined ? request.body : postedTo(request)
    if (!isObject(posted) || !isCallSid(posted.call_sid)) throw new ERR_CALL_SID(MAX_CALL_SID_BYTES)
    let payload = posted
    for (const name in posted) {
      const read = readers.get(name)
      const value = posted[name]
      if (read === undefined || read(value) === value) continue
      if (payload === posted) payload = { ...posted }
      payload[name] = read(value)
      if (payload[name] === undefined) delete payload[name]
    }
    return payload as Static<Schema>
  }
}

/**
 * Returns the payload of a webhook over GET, which is its query. jambonz 0.9 sends no query, not even the call's id
 * (feature-server lib/utils/http-requestor.js), so the payload then gets a random callSid.
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
