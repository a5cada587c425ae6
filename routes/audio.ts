import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type { WebSocket } from 'ws'
import type { AudioRoute } from '../lib/listening/AudioRoutes.js'
import { LiveListen } from '../lib/listening/LiveListen.js'
import { guardWithBasicAuth } from '../lib/application/authentication.js'
import { bindLog } from '../lib/application/request.js'
import { takesAll } from '../lib/application/verbRoute.js'
import type { Correlated } from '../lib/model/callWrite.js'
import { joinedRoom } from '../lib/correlation/identified.js'
import { ageOf, callSidOf, readSocketToken, SOCKET_TOKEN_TTL, type SocketToken } from '../lib/model/tokens.js'
import { acceptUpgrade, hasOtherUpgradeListener, isUpgrade } from '../lib/listening/upgrades.js'
import {
  ERR_AUDIO_AUTH,
  ERR_AUDIO_DRAINING,
  ERR_AUDIO_FULL,
  ERR_AUDIO_HANDSHAKE,
  ERR_AUDIO_PATH_EXPIRED,
  ERR_AUDIO_PATH_FORGOTTEN,
  ERR_AUDIO_PATH_UNKNOWN,
  ERR_AUDIO_PATH_USED,
  ERR_AUDIO_SUBPROTOCOL
} from '../lib/model/errors.js'
import { observeSockets } from '../lib/application/observeRequests.js'
import type { Runtime } from '../lib/Jambonz.js'
import type { Credentials } from '../lib/model/credentials.js'

/** The subprotocols of audio sockets: jambonz requests the first, mod_audio_fork by default the second. */
export const SUBPROTOCOLS: ReadonlySet<string> = new Set(['audio.jambonz.org', 'audio.drachtio.org'])

const NOT_FOUND = 404
const UNAVAILABLE = 503
const WEBSOCKET_KEY = /^[+/0-9A-Za-z]{22}==$/
const WEBSOCKET_VERSIONS: ReadonlySet<string | undefined> = new Set(['13', '8'])
const SUBPROTOCOL_LIST = /^[!#$%&'*+\-.^_`|~\w]+(?:[\t ]*,[\t ]*[!#$%&'*+\-.^_`|~\w]+)*$/

/**
 * Registers GET <path>/<id>.<signature>: the websocket with the audio of one listen. All checks run before
 * the upgrade (401, 503, 404, 400, 409), since jambonz does not report why a socket was closed. `route.path`
 * is the whole path, `path` the path within `instance`'s prefix.
 */
export function registerAudio(
  instance: FastifyInstance,
  runtime: Runtime,
  path: string,
  route: AudioRoute
): void {
  const { options } = runtime
  runtime.audioRoutes.add(route, path)
  instance.register(async function jambonzAudio(scope) {
    const tokens = new WeakMap<FastifyRequest, SocketToken>()

    /**
     * Returns true if the path names a listen. Adds the ids of call and listen to the log, also for a refused
     * socket.
     */
    function isNamed(request: FastifyRequest, reply: FastifyReply, given?: Credentials): boolean {
      const token = readSocketToken(options.secret, route.path, tokenOf(request) ?? '', given)
      if (token === undefined) return false
      tokens.set(request, token)
      bindLog(request, reply, { callSid: callSidOf(token.listenId), listenId: token.listenId })
      return true
    }

    observeSockets(scope, runtime.metrics, 'audio')
    scope.addHook('onRequest', async (request, reply) => {
      isNamed(request, reply)
    })
    // For a relative url, jambonz sends the webhooks' credentials in place of wsAuth, so both are accepted.
    const accepted = [options.auth, options.webhookAuth].filter((credentials) => credentials !== undefined)
    // isNamed accepts the wsAuth of the listen's own verb.
    await guardWithBasicAuth(scope, accepted, () => new ERR_AUDIO_AUTH(), isNamed)

    scope.addHook('onRequest', async (request) => {
      const token = tokens.get(request)
      if (token !== undefined && runtime.liveListens.handingOver) {
        await runtime.correlation.refused(token.listenId)
      }
      if (!(await runtime.liveListens.takes(token))) throw new ERR_AUDIO_DRAINING()
      if (tokenOf(request) !== undefined && token === undefined) throw new ERR_AUDIO_PATH_UNKNOWN()
      const age = token === undefined ? 0 : ageOf(token, runtime.issuer)
      if (age > SOCKET_TOKEN_TTL) throw new ERR_AUDIO_PATH_EXPIRED(hours(age), hours(SOCKET_TOKEN_TTL))
      checkSubprotocol(request.headers['sec-websocket-protocol'])
    })
    // In a handover, another instance takes the socket, so its refusal is no error of this application.
    scope.setErrorHandler((error: FastifyError, { log }, reply) => {
      const isNormal = error instanceof ERR_AUDIO_DRAINING && runtime.liveListens.handingOver
      if (!isNormal) throw error
      log.info('audio socket refused: this instance hands its listens over')
      return reply.code(UNAVAILABLE).send()
    })
    /**
     * Claims the listen and opens its socket. Runs last before the upgrade, so that no refused request uses
     * up the path.
     */
    async function open(request: FastifyRequest, reply: FastifyReply): Promise<void> {
      if (!isUpgrade(request)) return
      checkHandshake(request)
      const { maxStreams } = options.limits
      const opened = runtime.liveListens.reserve(maxStreams)
      if (opened === undefined) throw new ERR_AUDIO_FULL(maxStreams)
      try {
        const token = tokens.get(request)
        const claimed = token === undefined ? undefined : await claim(runtime, request, token)
        acceptUpgrade(runtime.audioServer, request, reply, (socket, requestedAt) =>
          onSocket(socket, request, requestedAt, claimed)
        )
      } finally {
        opened()
      }
    }

    function onSocket(
      socket: WebSocket,
      request: FastifyRequest,
      requestedAt: number,
      claimed: Claim | undefined
    ): void {
      claimed?.opened()
      runtime.metrics.requested('audio', 'answered')
      // The stream handles the error of a broken socket, so this listener does nothing.
      socket.on('error', () => {})
      runtime.liveListens.add(
        new LiveListen(socket, claimed?.listen, {
          services: runtime,
          scope: instance,
          route,
          requestedAt,
          logger: request.log
        })
      )
    }

    const upgraded = {
      exposeHeadRoute: false,
      schema: { hide: true } as FastifySchema,
      validatorCompiler: takesAll,
      preHandler: open,
      handler: async (_request: FastifyRequest, reply: FastifyReply) => reply.code(NOT_FOUND).send()
    }
    // A wildcard is used, since a parameter `:token` could exceed `maxParamLength` if the callSid is long.
    scope.route({ ...upgraded, method: 'GET', url: `${path}/*` })
    if (!options.strict) scope.route({ ...upgraded, method: 'GET', url: path })
  })
}

function tokenOf(request: FastifyRequest): string | undefined {
  return (request.params as { '*'?: string })['*']
}

function checkSubprotocol(header: string | undefined): void {
  const asked = header?.split(',').map((name) => name.trim()) ?? []
  if (!asked.some((name) => SUBPROTOCOLS.has(name))) throw new ERR_AUDIO_SUBPROTOCOL(header ?? '')
}

/** Throws for a handshake that ws would refuse later, after all hooks (ws lib/websocket-server.js). */
function checkHandshake({ method, headers }: FastifyRequest): void {
  if (method !== 'GET') throw new ERR_AUDIO_HANDSHAKE('its method must be GET')
  if (headers.upgrade?.toLowerCase() !== 'websocket') {
    throw new ERR_AUDIO_HANDSHAKE('it needs the header Upgrade: websocket')
  }
  if (!WEBSOCKET_KEY.test(headers['sec-websocket-key'] ?? '')) {
    throw new ERR_AUDIO_HANDSHAKE('Sec-WebSocket-Key must be 16 bytes in base64')
  }
  if (!WEBSOCKET_VERSIONS.has(headers['sec-websocket-version'])) {
    throw new ERR_AUDIO_HANDSHAKE('Sec-WebSocket-Version must be 13')
  }
  if (!SUBPROTOCOL_LIST.test(headers['sec-websocket-protocol'] ?? '')) {
    throw new ERR_AUDIO_HANDSHAKE('Sec-WebSocket-Protocol must be a list of different names')
  }
}

interface Claim {
  listen: Correlated
  /** Notes that the socket has opened. */
  opened: () => void
}

/**
 * Claims the listen. If the connection breaks, or is refused, before the socket has opened, releases the
 * listen. The listen of a further member of a room then ends, since no other socket can ask for it.
 */
async function claim(
  { correlation, liveListens }: Runtime,
  request: FastifyRequest,
  token: SocketToken
): Promise<Claim> {
  const { log } = request
  const claimed = await correlation.claimed(token)
  liveListens.expected.came(token.listenId)
  if (claimed.outcome === 'used') {
    const joined = await joinedRoom(correlation, token.listenId)
    if (joined === undefined) throw new ERR_AUDIO_PATH_USED()
    const { call, listen } = joined
    log.warn(
      { callSid: call.callSid, listenId: listen.id, joined: token.listenId },
      'a further socket came for the listen of a room: it is a listen of its own'
    )
    return claimUntilOpened(request, joined, async () => {
      await correlation.neverCame(listen)
    })
  }
  if (claimed.outcome !== 'claimed') throw new ERR_AUDIO_PATH_FORGOTTEN(token.listenId)
  return claimUntilOpened(request, claimed, async () => {
    log.warn(
      hasOtherUpgradeListener(request.server.server)
        ? "the connection closed before the audio socket had opened. Another listener of the server's event upgrade may have ended it, such as a WebSocketServer of ws: give that WebSocketServer a port of its own, or make it a route of @fastify/websocket"
        : 'the connection closed before the audio socket had opened: the listen may open another one'
    )
    await correlation.released(claimed.listen)
  })
}

/** Returns the claim. Calls `giveUp` if the connection closes before the socket has opened. */
function claimUntilOpened(
  { raw, log }: FastifyRequest,
  listen: Correlated,
  giveUp: () => Promise<void>
): Claim {
  const broke = (): void => {
    giveUp().catch((err: unknown) => {
      log.error({ err }, 'a listen whose socket did not open could not be released')
    })
  }
  if (raw.socket.destroyed) broke()
  else raw.socket.once('close', broke)
  return { listen, opened: () => raw.socket.off('close', broke) }
}

function hours(ms: number): string {
  return `${Math.round((ms / 3_600_000) * 10) / 10} h`
}
