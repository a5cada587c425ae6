import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import type { AudioRoute } from '../lib/listening/AudioRoutes.js'
import { verifyToken } from '../lib/listening/path.js'
import { LiveListen } from '../lib/listening/LiveListen.js'
import { guardWithBasicAuth } from '../lib/application/basicAuth.js'
import { bindLog } from '../lib/application/bindLog.js'
import type { Correlated } from '../lib/correlation/Correlator.js'
import { callSidOf } from '../lib/model/listenId.js'
import {
  ERR_AUDIO_AUTH,
  ERR_AUDIO_DRAINING,
  ERR_AUDIO_FULL,
  ERR_AUDIO_PATH_UNKNOWN,
  ERR_AUDIO_PATH_USED,
  ERR_AUDIO_SUBPROTOCOL
} from '../lib/model/errors.js'
import { observeSockets } from '../lib/application/observeRequests.js'
import type { Runtime } from '../lib/Runtime.js'
import type { Credentials } from '../lib/verbs/index.js'

/** jambonz asks for the first; mod_audio_fork by itself for the second. */
const SUBPROTOCOLS: ReadonlySet<string> = new Set(['audio.jambonz.org', 'audio.drachtio.org'])

/**
 * GET <path>/<id>.<signature>, upgraded: the audio of one listen. Everything is checked before the upgrade, since
 * jambonz never tells its application why a socket was closed: 401, 503, 404, 400, 409.
 * `route.path` is the whole path, `path` the one within `instance`'s prefix.
 */
export function registerAudio(
  instance: FastifyInstance,
  runtime: Runtime,
  path: string,
  route: AudioRoute
): void {
  const { options } = runtime
  runtime.audioRoutes.add(route)
  instance.register(async (scope) => {
    const listenIds = new WeakMap<FastifyRequest, string>()
    const claims = new WeakMap<FastifyRequest, Correlated>()

    /** Whether the path names a listen: from then on the log does, too, also when its socket is refused. */
    function isNamed(request: FastifyRequest, reply: FastifyReply, given?: Credentials): boolean {
      const listenId = verifyToken(options.secret, route.path, tokenOf(request) ?? '', given)
      if (listenId === undefined) return false
      listenIds.set(request, listenId)
      bindLog(request, reply, { callSid: callSidOf(listenId), listenId })
      return true
    }

    observeSockets(scope, runtime.metrics)
    scope.addHook('onRequest', async (request, reply) => {
      isNamed(request, reply)
    })
    // jambonz puts the webhooks' credentials in place of wsAuth where a listen's url is relative.
    const accepted = [options.auth, options.webhookAuth].filter((credentials) => credentials !== undefined)
    // A listen whose verb has a wsAuth of its own is let in with that.
    await guardWithBasicAuth(scope, accepted, () => new ERR_AUDIO_AUTH(), isNamed)

    scope.addHook('onRequest', async (request) => {
      const listenId = listenIds.get(request)
      if (listenId !== undefined && runtime.liveListens.handingOver) await runtime.handover.refuse(listenId)
      checkCapacity(runtime)
      if (tokenOf(request) !== undefined && listenId === undefined) throw new ERR_AUDIO_PATH_UNKNOWN()
      checkSubprotocol(request.headers['sec-websocket-protocol'])
      if (listenId !== undefined && request.ws) claims.set(request, await claim(runtime, listenId))
    })

    function onSocket(socket: WebSocket, request: FastifyRequest): void {
      runtime.metrics.requested('audio', 'answered')
      runtime.liveListens.add(
        new LiveListen(socket, claims.get(request), {
          ...runtime,
          scope: instance,
          route,
          logger: request.log
        })
      )
    }

    // No `:token`: Fastify refuses parameters over `maxParamLength`, and a long callSid makes a long one.
    scope.get(`${path}/*`, { websocket: true }, onSocket)
    if (!options.strict) scope.get(path, { websocket: true }, onSocket)
  })
}

function tokenOf(request: FastifyRequest): string | undefined {
  return (request.params as { '*'?: string })['*']
}

function checkCapacity({ liveListens, options }: Runtime): void {
  if (liveListens.sealed) throw new ERR_AUDIO_DRAINING()
  if (liveListens.size >= options.limits.maxStreams) throw new ERR_AUDIO_FULL(options.limits.maxStreams)
}

function checkSubprotocol(header: string | undefined): void {
  const asked = header?.split(',').map((name) => name.trim()) ?? []
  if (!asked.some((name) => SUBPROTOCOLS.has(name))) throw new ERR_AUDIO_SUBPROTOCOL(header ?? '')
}

async function claim({ correlator }: Runtime, listenId: string): Promise<Correlated> {
  const { claimed, call } = await correlator.claim(listenId)
  const listen = call.listens.find(({ id }) => id === listenId)
  if (!claimed || listen === undefined) throw new ERR_AUDIO_PATH_USED()
  return { call, listen }
}
