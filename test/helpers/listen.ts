import type { FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import { listening } from './build.js'
import { callWebhook } from './payloads.js'
import { openSocket, type OpenOptions } from './socket.js'

/** A listen that a webhook of a listening application has answered, to be taken through its life by hand. */
export interface AskedListen {
  callSid: string
  id: string
  /** of the socket, absolute */
  url: string
  /** of the actionHook, as jambonz was told */
  hookUrl: string
  open(options?: OpenOptions): Promise<WebSocket>
  /** posts the actionHook, to another instance if one is given; the reply's JSON */
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

/** Asks `path`'s webhook for its verbs, the last of which is a listen. `base`: of the listening application. */
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

/** `ms` of L16 mono that differs in every sample. */
export function ramp(ms: number, sampleRate = 8000): Buffer {
  const pcm = Buffer.alloc(((ms * sampleRate) / 1000) * 2)
  for (let i = 0; i < pcm.length; i += 2) pcm.writeInt16LE(((i * 7) % 65_536) - 32_768, i)
  return pcm
}
