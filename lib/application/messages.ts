import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import inject from 'light-my-request'

/**
 * A message of jambonz' application websocket. A route of this plugin answers it as if it had come over HTTP, but
 * asks for no credentials or signature: the upgrade of the socket has checked them.
 */
export interface JambonzMessage {
  readonly msgid: string
  /** the parsed body that an HTTP request would have: `request.body` */
  readonly payload: unknown
  /** identifies this message among those of the call; the same if jambonz sends it again */
  readonly seed: Buffer
}

/** The request of a message to its route. */
export interface MessageRequest {
  /** whole path of a webhook, actionHook or statusHook of this plugin, with its query */
  url: string
  /** headers of the websocket's upgrade; `host` goes into urls */
  headers: Record<string, string>
  /** address of jambonz */
  remoteAddress: string
}

export interface MessageAnswer {
  statusCode: number
  /** JSON of the verbs where `statusCode` is 200: after all hooks of the route */
  body: string
}

/** The messages by raw request: as nobody outside can make one, no header or url can pretend to be a message. */
const messages = new WeakMap<IncomingMessage, JambonzMessage>()

/**
 * Runs the route of `url` for a message, with its hooks, validation, error handler and fallback. Resolves to the
 * route's answer; rejects only if Fastify itself fails. `fastify` must be ready; `url` must be that of a route of
 * this plugin.
 */
export async function dispatchMessage(
  fastify: FastifyInstance,
  message: JambonzMessage,
  { url, headers, remoteAddress }: MessageRequest
): Promise<MessageAnswer> {
  const { statusCode, payload } = await inject(
    (request, response) => {
      const raw = request as unknown as IncomingMessage
      messages.set(raw, message)
      fastify.routing(raw as never, response as never)
    },
    {
      method: 'POST',
      url,
      headers: { ...headers, 'content-type': 'application/json' },
      remoteAddress,
      // Not parsed: the parser of our scopes takes the message's payload.
      payload: '{}'
    }
  )
  return { statusCode, body: payload }
}

/** Returns the message that a request stands for; undefined for a request over HTTP. */
export function messageOf({ raw }: Pick<FastifyRequest, 'raw'>): JambonzMessage | undefined {
  return messages.get(raw)
}
