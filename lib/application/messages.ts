import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import inject from 'light-my-request'

/**
 * A message of jambonz' application websocket, to be answered by a route of this plugin as if it had come over HTTP. The
 * socket was let in by its credentials: the route asks for none, and for no signature.
 */
export interface JambonzMessage {
  readonly msgid: string
  /** what an HTTP request would have as its body, parsed: `request.body` */
  readonly payload: unknown
  /** what tells this message from the call's others, the same when jambonz sends it once more */
  readonly seed: Buffer
}

/** How a message reaches its route. */
export interface MessageRequest {
  /** whole path of a webhook, actionHook or statusHook of this plugin, with its query */
  url: string
  /** of the websocket's upgrade; `host` is what urls are made of */
  headers: Record<string, string>
  /** address of jambonz */
  remoteAddress: string
}

export interface MessageAnswer {
  statusCode: number
  /** JSON of the verbs where `statusCode` is 200: after all hooks of the route */
  body: string
}

/** By the raw request, which nobody outside can make or name: no header or url can claim to be a message. */
const messages = new WeakMap<IncomingMessage, JambonzMessage>()

/**
 * Runs the route of `url` for a message, with its hooks, validation, error handler and fallback. Resolves with what it
 * answers; rejects only where Fastify itself fails. `fastify` is ready; `url` is that of a route of this plugin.
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
      // Never parsed: the parser of our scopes takes the message's payload.
      payload: '{}'
    }
  )
  return { statusCode, body: payload }
}

/** Returns the message that a request stands for; undefined for a request over HTTP. */
export function messageOf({ raw }: Pick<FastifyRequest, 'raw'>): JambonzMessage | undefined {
  return messages.get(raw)
}
