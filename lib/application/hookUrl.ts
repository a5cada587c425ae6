import type { FastifyRequest } from 'fastify'
import { actualPath, actualPrefix, isBelow, joinPath, readOwnUrl } from '../listening/ownUrl.js'
import { signHookKey } from '../model/tokens.js'
import type { Application } from './Application.js'
import type { RouteKind } from './JambonzRoutes.js'

/** The actionHook of a listen, as its verb has it. */
export interface HookAsked {
  /** undefined: the built-in one */
  url: string | undefined
  method: string | undefined
  /** of the listen */
  id: string
}

/**
 * Returns the url of a listen's actionHook as jambonz gets it: with `?listen=<id>`, and for GET a key, where it leads
 * to this application; as it is where it leads elsewhere. A relative one is a whole path or one within the scope's
 * prefix; the path of `publicUrl` comes before it, since jambonz takes a relative url from the root of its host.
 */
export function hookUrl(
  application: Omit<Application, 'sockets'>,
  request: FastifyRequest,
  asked: HookAsked
): string {
  const { options, routes, defaultHookPath } = application
  const { url = actualPath(defaultHookPath, request), id } = asked
  const method = asked.method?.toUpperCase() === 'GET' ? 'GET' : 'POST'
  const ours = `listen=${id}${method === 'GET' ? `&key=${signHookKey(options.secret, id)}` : ''}`
  const own = readOwnUrl(url, request, options.publicUrl)
  if (own === undefined) return url
  const publicPath = options.publicUrl?.path ?? ''
  if (own.base !== '') {
    const kind = routes.kindOf(method, own.path)
    // Our origin, but no route of this application.
    if (kind === undefined) return url
    warnOfHook(application, request, { url, method, kind })
    return withQuery(own.base + own.path, own.rest, ours)
  }
  const found = [own.path, joinPath(actualPrefix(request), own.path)]
    .map((path) => ({ path, kind: routes.kindOf(method, path) }))
    .find(({ kind }) => kind !== undefined)
  if (found !== undefined) {
    warnOfHook(application, request, { url, method, kind: found.kind })
    return withQuery(publicPath + found.path, own.rest, ours)
  }
  const inner = isBelow(own.path, publicPath) ? own.path.slice(publicPath.length) : own.path
  warnOfHook(application, request, { url, method, kind: routes.kindOf(method, inner) })
  return withQuery(own.path, own.rest, ours)
}

function withQuery(path: string, rest: string, ours: string): string {
  const [query = '', ...fragment] = rest.startsWith('#') ? ['', rest] : rest.split(/(?=#)/)
  return `${path}${query}${query === '' ? '?' : '&'}${ours}${fragment.join('')}`
}

const MISTAKES: Partial<Record<RouteKind, string>> = {
  webhook:
    'the actionHook of a listen leads to webhook(): its handler runs before the audio is complete, and has no request.listen. Register it with actionHook()',
  statusHook:
    'the actionHook of a listen leads to statusHook(): its handler runs before the audio is complete, and what it returns is ignored. Register it with actionHook()',
  plain:
    "the actionHook of a listen leads to a route of the application's own: its handler runs before the audio is complete, and has no request.listen. Register it with actionHook()"
}
const NO_ROUTE =
  'the actionHook of a listen leads to no route of this application: register it with actionHook(), or leave it out'

/** Logs a hook that can't work, once for each route. */
function warnOfHook(
  { warned }: Pick<Application, 'warned'>,
  request: FastifyRequest,
  { url, method, kind }: { url: string; method: string; kind: RouteKind | undefined }
): void {
  const mistake = kind === undefined ? NO_ROUTE : MISTAKES[kind]
  if (mistake === undefined) return
  const route = `${request.routeOptions.url} ${method} ${url.replace(/[?#].*$/s, '')}`
  if (warned.has(route) || warned.size >= MAX_WARNED) return
  warned.add(route)
  request.log.warn({ actionHook: url, method }, mistake)
}

/** Mistakes logged at most: hooks may have parameters, and each url would be another line. */
export const MAX_WARNED = 100
