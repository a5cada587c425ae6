import type { FastifyRequest } from 'fastify'
import { ERR_AUDIO_ROUTE } from '../model/errors.js'
import { type Hmac, signSocketToken } from '../model/tokens.js'
import { isSameCredentials, type Credentials } from '../model/credentials.js'
import type { AudioRoute, AudioRoutes } from './AudioRoutes.js'

/** The address by which jambonz reaches the audio sockets of this application. */
export interface OwnAddress {
  readonly options: {
    readonly publicUrl: PublicUrl | undefined
    readonly secret: Hmac
    readonly auth: Credentials | undefined
    readonly webhookAuth: Credentials | undefined
  }
  readonly audioRoutes: AudioRoutes
  /** full path of the built-in audio route */
  readonly audioPath: string
  /** tag of this instance in the paths that it signs, see SocketToken */
  readonly issuer: string
}

/** The socket that a listen verb asks for, and the listen's id. */
export interface SocketAsked {
  id: string
  url: string | undefined
  wsAuth: Credentials | undefined
  /** time at which the verb was answered, ms since the epoch, see SocketToken */
  issuedAt: number
  unknown: boolean
}

/**
 * Returns the `url` at which jambonz opens the socket of one listen, and the `path` of its audio route.
 * Returns undefined if the url in the verb leads to another server. Throws FST_JAMBONZ_AUDIO_ROUTE for a
 * relative url that no route serves.
 */
export function socketUrl(
  { options, audioRoutes, audioPath, issuer }: OwnAddress,
  request: FastifyRequest,
  { id, url, wsAuth, issuedAt, unknown }: SocketAsked
): { path: string; url: string } | undefined {
  const { publicUrl, secret } = options
  const own = readOwnUrl(url ?? actualPath(audioPath, request), request, publicUrl)
  if (own === undefined) return undefined
  const isRelative = own.base === ''
  const path = withoutSlash(own.path)
  const found = isRelative
    ? relativeRoute(audioRoutes, path, actualPrefix(request), publicUrl)
    : foundAt(path, (candidate) => audioRoutes.find(candidate))
  if (found === undefined) {
    if (isRelative) throw new ERR_AUDIO_ROUTE(url)
    return undefined
  }
  const base = isRelative ? (publicUrl?.href ?? '') : own.base.replace(/^http/i, 'ws')
  const route = found.value.path
  const token = {
    path: route,
    listenId: id,
    issuedAt,
    unknown,
    paused: false,
    issuer
  } as const
  const signed = signSocketToken(secret, token, ownCredentials(options, wsAuth, base))
  return { path: route, url: `${base}${found.path}/${signed}${own.rest}` }
}

/**
 * Returns the path of the audio route that the url in a verb leads to, before jambonz asks for the verb; undefined for
 * an absolute url. `prefix`: the prefix of the scope that answers with the verb. Throws FST_JAMBONZ_AUDIO_ROUTE for a
 * relative url that no route serves.
 */
export function audioPathOf(
  { options, audioRoutes }: { options: Pick<OwnAddress['options'], 'publicUrl'>; audioRoutes: AudioRoutes },
  url: string,
  prefix: string
): string | undefined {
  if (ABSOLUTE.test(url)) return undefined
  const path = withoutSlash(readRelative(url).path)
  const found = relativeRoute(audioRoutes, path, prefix, options.publicUrl)
  if (found === undefined) throw new ERR_AUDIO_ROUTE(url)
  return found.value.path
}

/**
 * Returns the audio route that a relative url means, and the path by which it was found: a full path, a path within the
 * prefix of the scope, or a path below the path of `publicUrl`.
 */
function relativeRoute(
  audioRoutes: AudioRoutes,
  path: string,
  prefix: string,
  publicUrl: PublicUrl | undefined
): { path: string; value: AudioRoute } | undefined {
  const find = (candidate: string) => audioRoutes.find(candidate)
  return (
    foundAt(path, find) ?? foundAt(joinPath(prefix, path), find) ?? foundAt(pathBelow(path, publicUrl), find)
  )
}

function withoutSlash(path: string): string {
  return path.endsWith('/') ? path.replace(/(?<=.)\/+$/, '') : path
}

/** Returns a path with the value that `find` returns for it; undefined if `find` returns none. */
export function foundAt<T>(
  path: string | undefined,
  find: (path: string) => T | undefined
): { path: string; value: T } | undefined {
  const value = path === undefined ? undefined : find(path)
  return path === undefined || value === undefined ? undefined : { path, value }
}

/**
 * Returns the verb's wsAuth if the token in the path has to contain it; otherwise undefined. The token contains a wsAuth
 * that jambonz sends, that the route checks, and that is neither the option `auth` nor `webhookAuth`.
 */
function ownCredentials(
  { auth, webhookAuth }: OwnAddress['options'],
  wsAuth: Credentials | undefined,
  base: string
): Credentials | undefined {
  if (wsAuth === undefined) return undefined
  const accepted = [auth, webhookAuth].filter((credentials) => credentials !== undefined)
  const replaced = base === '' && webhookAuth !== undefined
  const known = accepted.some((credentials) => isSameCredentials(wsAuth, credentials))
  return accepted.length === 0 || replaced || known ? undefined : wsAuth
}

const ABSOLUTE = /^(https?|wss?):\/\/([^/?#]*)([^?#]*)(.*)$/is

/** A url that leads to this application. */
export interface OwnUrl {
  /** the part before `path`: empty, or an origin with the path that a proxy removes */
  base: string
  /** path as this application sees it */
  path: string
  /** query and fragment, with their `?` and `#` */
  rest: string
}

/** The option `publicUrl`, parsed. */
export interface PublicUrl {
  /** `ws(s)://host[:port]/path`, without a slash at its end */
  href: string
  /** the path in front of all paths of this application, such as `/voice`; often empty */
  path: string
}

/** Parses the option `publicUrl`. Throws a TypeError if it is no url. */
export function readPublicUrl(publicUrl: string): PublicUrl {
  const url = new URL(publicUrl.replace(/^http/i, 'ws'))
  const path = url.pathname.replace(/\/+$/, '')
  return { href: `${url.protocol}//${url.host}${path}`, path }
}

/**
 * Parses a url of a verb. Returns undefined if the url is absolute and its origin is neither the origin of
 * `publicUrl` nor an origin by which jambonz called. Origins are compared as RFC 6454 does: ignoring case,
 * without default ports. `http`, `https`, `ws` and `wss` count as the same scheme, since a proxy that ends
 * TLS does not always forward the scheme.
 */
export function readOwnUrl(
  url: string,
  request: FastifyRequest,
  publicUrl: PublicUrl | undefined
): OwnUrl | undefined {
  const absolute = url.startsWith('/') ? null : ABSOLUTE.exec(url)
  if (absolute === null) return readRelative(url)
  const [, scheme = '', authority = '', absolutePath = '', absoluteRest = ''] = absolute
  const base = `${scheme}://${authority}`
  const asked = hostOf(authority, scheme)
  if (asked === undefined) return undefined
  if (publicUrl !== undefined && isSame(asked, hostOf(new URL(publicUrl.href).host, publicUrl.href))) {
    const inner = pathBelow(absolutePath, publicUrl)
    if (inner !== undefined) return { base: base + publicUrl.path, path: inner, rest: absoluteRest }
  }
  return hostsOf(request).some((own) => isSame(asked, hostOf(own, scheme)))
    ? { base, path: absolutePath, rest: absoluteRest }
    : undefined
}

function readRelative(url: string): OwnUrl {
  const end = url.search(/[?#]/)
  return end < 0
    ? { base: '', path: url, rest: '' }
    : { base: '', path: url.slice(0, end), rest: url.slice(end) }
}

/** Returns the full path of a route, joined as Fastify does it. */
export function joinPath(prefix: string, path: string): string {
  return prefix.endsWith('/') && path.startsWith('/') ? prefix + path.slice(1) : prefix + path
}

/**
 * Returns the path as this application sees it: without the path of `publicUrl`, which a proxy removes.
 * Returns undefined if the path does not begin with the path of `publicUrl`.
 */
export function pathBelow(path: string, publicUrl: Pick<PublicUrl, 'path'> | undefined): string | undefined {
  const { path: parent = '' } = publicUrl ?? {}
  const isBelow = path.startsWith(parent) && (path.length === parent.length || path[parent.length] === '/')
  return parent === '' ? path : isBelow ? path.slice(parent.length) : undefined
}

/**
 * Returns the prefix of the scope that serves the request, with the values of its parameters: `/tenants/acme` for
 * `/tenants/:tenant`.
 */
export function actualPrefix(request: FastifyRequest): string {
  return actualPath(request.server.prefix, request)
}

/**
 * Returns a route's path with values for its parameters, taken from the url of a request. Values are given
 * only to the segments at the beginning that this route and the route of the request have in common.
 */
export function actualPath(pattern: string, { routeOptions, url }: FastifyRequest): string {
  if (!/[:*]/.test(pattern)) return pattern
  const segments = segmentsOf(pattern)
  const own = segmentsOf(routeOptions.url ?? '')
  const different = segments.findIndex((segment, i) => segment !== own[i])
  const shared = different < 0 ? segments.length : different
  const actual = url.replace(/[?#].*$/s, '').split('/')
  // If the router ignores duplicate slashes, the url may have some, which are removed here.
  const given = actual.filter((segment, i) => segment !== '' || i === actual.length - 1).slice(0, shared)
  return ['', ...given, ...segments.slice(shared)].join('/')
}

/** Splits a route's path at its slashes, except those in the regular expression of a parameter. */
function segmentsOf(pattern: string): string[] {
  const segments = ['']
  let depth = 0
  for (const [part] of pattern.matchAll(/\\.|[^]/g)) {
    if (part === '(') depth++
    if (part === ')') depth--
    if (part === '/' && depth === 0) segments.push('')
    else segments[segments.length - 1] += part
  }
  return segments[0] === '' ? segments.slice(1) : segments
}

/**
 * Returns the hosts under which jambonz may have called: the host of the request and, if proxies are trusted,
 * the hosts that the proxies forward.
 */
function hostsOf(request: FastifyRequest): string[] {
  if (request.ips === undefined) return [request.host]
  const forwarded = listOf(request.headers['x-forwarded-host'])
  const ports = listOf(request.headers['x-forwarded-port'])
  // The standard header (RFC 7239) for forwarded hosts, such as `for=10.0.0.1;host="voice.example.com:8443"`.
  const { forwarded: standard = '' } = request.headers
  const named = Array.from(
    standard.matchAll(/(?:^|[;,])\s*host=("?)([^\s";,]+)\1/gi),
    ([, , host = '']) => host
  )
  const hosts = [request.host, ...forwarded, ...named]
  return [...hosts, ...hosts.flatMap((host) => ports.map((port) => `${host.replace(/:\d+$/, '')}:${port}`))]
}

function listOf(header: string | string[] | undefined): string[] {
  return [header ?? []]
    .flat()
    .flatMap((value) => value.split(','))
    .map((value) => value.trim())
    .filter((value) => value !== '')
}

interface Host {
  name: string
  port: string
}

/** Parses a host. Returns undefined if the text is no host. */
function hostOf(authority: string, scheme: string): Host | undefined {
  const secure = /^(?:https|wss)/i.test(scheme)
  const url = `${secure ? 'https' : 'http'}://${authority}`
  if (!URL.canParse(url)) return undefined
  const { hostname, port } = new URL(url)
  return { name: hostname.replace(/\.$/, ''), port: port || (secure ? '443' : '80') }
}

function isSame(a: Host, b: Host | undefined): boolean {
  return a.name === b?.name && a.port === b.port
}
