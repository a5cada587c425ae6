import type { FastifyRequest } from 'fastify'
import { ERR_AUDIO_ROUTE } from '../model/errors.js'
import type { Hmac } from '../model/Hmac.js'
import type { Credentials } from '../verbs/index.js'
import type { AudioRoutes } from './AudioRoutes.js'
import { issuerTag, signSocketToken } from '../model/tokens.js'
import { actualPath, actualPrefix, isBelow, joinPath, readOwnUrl, type PublicUrl } from './ownUrl.js'

/** The address by which jambonz reaches the audio sockets of this application. */
export interface OwnAddress {
  readonly options: {
    readonly publicUrl: PublicUrl | undefined
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

/** The socket that a listen verb asks for, and the listen's id. */
export interface SocketAsked {
  id: string
  url: string | undefined
  wsAuth: Credentials | undefined
  /** ms since the epoch: see SocketToken */
  issuedAt: number
  unknown: boolean
}

/**
 * Returns the url by which jambonz opens the socket of one listen, and `path`, the audio route it leads to; undefined
 * if the verb's own url leads to another server. Throws FST_JAMBONZ_AUDIO_ROUTE for a relative url that no route
 * serves.
 */
export function socketUrl(
  { options, audioRoutes, audioPath, instance }: OwnAddress,
  request: FastifyRequest,
  { id, url, wsAuth, issuedAt, unknown }: SocketAsked
): { path: string; url: string } | undefined {
  const { publicUrl, secret } = options
  const own = readOwnUrl(url ?? actualPath(audioPath, request), request, publicUrl)
  if (own === undefined) return undefined
  const isRelative = own.base === ''
  const found = candidates(own.path, request, publicUrl, isRelative)
    .map((path) => ({ path, route: audioRoutes.find(path) }))
    .find(({ route }) => route !== undefined)
  if (found?.route === undefined) {
    if (isRelative) throw new ERR_AUDIO_ROUTE(url)
    return undefined
  }
  const base = isRelative ? (publicUrl?.href ?? '') : own.base.replace(/^http/i, 'ws')
  const route = found.route.path
  const token = { path: route, listenId: id, issuedAt, unknown, issuer: issuerTag(instance) }
  const signed = signSocketToken(secret, token, ownCredentials(options, wsAuth, base))
  return { path: route, url: `${base}${found.path}/${signed}${own.rest}` }
}

/**
 * Returns the paths that a verb's url may mean, the likeliest first: whole, within the scope's prefix, or below that
 * of `publicUrl`.
 */
function candidates(
  asked: string,
  request: FastifyRequest,
  publicUrl: PublicUrl | undefined,
  isRelative: boolean
): string[] {
  const path = asked.replace(/(?<=.)\/+$/, '')
  if (!isRelative) return [path]
  const paths = [path, joinPath(actualPrefix(request), path)]
  if (publicUrl !== undefined && publicUrl.path !== '' && isBelow(path, publicUrl.path)) {
    paths.push(path.slice(publicUrl.path.length))
  }
  return paths
}

/**
 * Returns the verb's wsAuth if the path's token must carry it: it differs from the option, jambonz sends it, and the
 * route asks for credentials.
 */
function ownCredentials(
  { auth, webhookAuth }: OwnAddress['options'],
  wsAuth: Credentials | undefined,
  base: string
): Credentials | undefined {
  const accepted = [auth, webhookAuth].filter((credentials) => credentials !== undefined)
  const replaced = base === '' && webhookAuth !== undefined
  const known = accepted.some(
    ({ username, password }) => username === wsAuth?.username && password === wsAuth.password
  )
  return accepted.length === 0 || replaced || known ? undefined : wsAuth
}
