import type { FastifyRequest } from 'fastify'
import { ERR_AUDIO_ROUTE } from '../model/errors.js'
import type { Hmac } from '../model/Hmac.js'
import type { Credentials } from '../verbs/index.js'
import type { AudioRoutes } from './AudioRoutes.js'
import { issuerTag, signSocketToken } from '../model/tokens.js'

const ABSOLUTE = /^(?:https?|wss?):\/\//i

/** How jambonz reaches the audio sockets of this application. */
export interface OwnAddress {
  readonly options: {
    readonly publicUrl: string | undefined
    readonly secret: Hmac
    readonly auth: Credentials | undefined
    readonly webhookAuth: Credentials | undefined
  }
  readonly audioRoutes: AudioRoutes
  /** whole path of the built-in audio route */
  readonly audioPath: string
  /** name of this process in the store */
  readonly instance: string
}

/** What a listen verb says of its socket, and the listen's id. */
export interface SocketAsked {
  id: string
  url: string | undefined
  wsAuth: Credentials | undefined
  /** ms since the epoch: see SocketToken */
  issuedAt: number
  unknown: boolean
}

/**
 * The url by which jambonz opens the socket of one listen: an audio route and a token for it, and `path`, that route.
 * Undefined where the verb's own url leads elsewhere. Raises FST_JAMBONZ_AUDIO_ROUTE for a relative one that leads nowhere.
 */
export function socketUrl(
  { options, audioRoutes, audioPath, instance }: OwnAddress,
  request: FastifyRequest,
  { id, url, wsAuth, issuedAt, unknown }: SocketAsked
): { path: string; url: string } | undefined {
  const absolute = url !== undefined && ABSOLUTE.test(url)
  const asked = absolute ? url.replace(/^http/i, 'ws') : (url ?? audioPath)
  const origin = absolute
    ? ownOrigins(options, request).find((own) => asked.startsWith(`${own}/`))
    : (options.publicUrl ?? '')
  if (origin === undefined) return undefined
  const [, route = '', rest = ''] = /^([^?#]*)(.*)$/.exec(absolute ? asked.slice(origin.length) : asked) ?? []
  const path =
    url === undefined ? audioPath : audioRoutes.resolve(route, absolute ? '' : request.server.prefix)
  if (path !== undefined) {
    const token = { path, listenId: id, issuedAt, unknown, issuer: issuerTag(instance) }
    const signed = signSocketToken(options.secret, token, ownCredentials(options, wsAuth, origin))
    return { path, url: `${origin}${path}/${signed}${rest}` }
  }
  if (absolute) return undefined
  throw new ERR_AUDIO_ROUTE(url)
}

/** As jambonz knows us: by the option, and by the host it has just called. */
function ownOrigins({ publicUrl }: OwnAddress['options'], { host }: FastifyRequest): string[] {
  return [...(publicUrl === undefined ? [] : [publicUrl]), `ws://${host}`, `wss://${host}`]
}

/** The verb's wsAuth where the token stands in for the options: it is another, jambonz sends it, and the route asks for one. */
function ownCredentials(
  { auth, webhookAuth }: OwnAddress['options'],
  wsAuth: Credentials | undefined,
  origin: string
): Credentials | undefined {
  const accepted = [auth, webhookAuth].filter((credentials) => credentials !== undefined)
  const replaced = origin === '' && webhookAuth !== undefined
  const known = accepted.some(
    ({ username, password }) => username === wsAuth?.username && password === wsAuth.password
  )
  return accepted.length === 0 || replaced || known ? undefined : wsAuth
}
