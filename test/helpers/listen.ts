import type { FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import { listening } from './build.js'
import { callWebhook } from './payloads.js'
import { openSocket, type OpenOptions } from './socket.js'

/** A listen with which a webhook has answered. The test itself opens the socket and posts the hooks. */
export interface AskedListen {
  callSid: string
  id: string
  /** absolute url of the socket */
  url: string
  /** url of the actionHook, as the application sent it to jambonz */
  hookUrl: string
  open(options?: OpenOptions): Promise<WebSocket>
  /**
   * Posts the actionHook to this application, or to the instance `to`. Resolves to the JSON of the answer.
   */
  hook(extra?: Record<string, unknown>, to?: FastifyInstance): Promise<unknown>
  metadata(extra?: Record<string, unknown>): string
}

interface Verb {
  url: string
  actionHook: string
  mixType?: string
  sampleRate?: number
  metadata: { jambonzListenId: string }
}

/**
 * Posts a webhook to `path`. Resolves to the listen, which must be the last verb of the answer. `base`:
 * address of the application.
 */
export async function askForListen(app: FastifyInstance, path: string, base?: string): Promise<AskedListen> {
  const address = base ?? (await listening(app))
  const payload = callWebhook()
  const response = await app.inject({ method: 'POST', url: path, payload })
  const verb = response.json<Verb[]>().at(-1)
  if (response.statusCode !== 200 || verb === undefined) {
    throw new Error(`${path} answered ${response.statusCode} ${response.body}`)
  }
  const callSid = String(payload.call_sid)
  const url = `${address}${verb.url}`
  const id = verb.metadata.jambonzListenId
  return {
    callSid,
    id,
    url,
    hookUrl: verb.actionHook,
    open: (options) => openSocket(url, options),
    metadata: (extra = {}) =>
      JSON.stringify({
        sampleRate: verb.sampleRate ?? 8000,
        mixType: verb.mixType ?? 'mono',
        callSid,
        direction: 'inbound',
        from: payload.from,
        to: payload.to,
        ...verb.metadata,
        ...extra
      }),
    async hook(extra = {}, to = app) {
      const { sip, defaults, ...attributes } = payload
      const reply = await to.inject({
        method: 'POST',
        url: verb.actionHook,
        payload: { ...attributes, call_status: 'in-progress', verb_id: id, ...extra }
      })
      return reply.json()
    }
  }
}

/** Returns `ms` of L16 mono whose consecutive samples all differ. */
export function ramp(ms: number, sampleRate = 8000): Buffer {
  const pcm = Buffer.alloc(((ms * sampleRate) / 1000) * 2)
  for (let i = 0; i < pcm.length; i += 2) pcm.writeInt16LE(((i * 7) % 65_536) - 32_768, i)
  return pcm
}
