import type { FastifyContextConfig, FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import type { Call } from '../model/schema.js'
import { RouteTable } from '../listening/AudioRoutes.js'
import { actualPath, actualPrefix, foundAt, joinPath, pathBelow, readOwnUrl } from '../listening/ownUrls.js'
import type { HookUrl } from '../verbs/index.js'
import { ERR_HOOK_ROUTE } from '../model/errors.js'
import { signHookKey } from '../model/tokens.js'
import type { Application } from './Application.js'
import { ADULTING } from './websocket/wire.js'
import type { RequestKind } from './observeRequests.js'
import { kOwnBody, kReturned, messageOf } from './request.js'

/** The key in the `config` of a route of this plugin that holds the kind of the route. */
const kKind = Symbol('jambonz route')

declare module 'fastify' {
  interface FastifyContextConfig {
    [kKind]?: RequestKind
  }
}

/** Returns the `config` of a route of this plugin. `options`: the route options that the application gave. */
export function routeConfig(
  kind: RequestKind,
  { config, schema }: { config?: FastifyContextConfig; schema?: FastifySchema } = {}
): FastifyContextConfig {
  return { ...config, [kKind]: kind, [kOwnBody]: schema?.body !== undefined }
}

/** The kind of a route of this plugin; `plain` for a route of the application's own. */
export type RouteKind = RequestKind | 'plain'

/** The routes that jambonz may call, by path. */
export class JambonzRoutes {
  readonly #fastify: FastifyInstance
  readonly #routes: RouteTable<RouteKind>

  /** Collects the routes that are registered from now on in `fastify` and its children. */
  constructor(fastify: FastifyInstance) {
    this.#fastify = fastify
    this.#routes = new RouteTable(fastify)
    fastify.addHook('onRoute', ({ method, url, config }) => {
      const methods = [method].flat()
      for (const one of ['GET', 'POST'] as const) {
        if (methods.includes(one)) this.#routes.add(one, url, config?.[kKind] ?? 'plain')
      }
    })
  }

  /** Returns the whole path of a POST route: this path, or this path behind `prefix`, if only that one is a route. */
  wholePath(path: string, prefix: string): string {
    const inner = joinPath(prefix, path)
    const leads = (candidate: string): boolean =>
      this.kindOf('POST', candidate.replace(/[?#].*$/s, '')) !== undefined
    return !leads(path) && leads(inner) ? inner : path
  }

  /**
   * Returns the kind of the route that a whole path, without its query, leads to; undefined for any other
   * path.
   */
  kindOf(method: 'GET' | 'POST', path: string): RouteKind | undefined {
    const kind = this.#routes.find(method, path)
    if (kind !== undefined) return kind
    // A route that was registered before the plugin was not collected, but Fastify knows it.
    return this.#fastify.hasRoute({ method, url: path }) ? 'plain' : undefined
  }
}

/** The actionHook in a listen verb. */
export interface HookAsked {
  /** undefined for the built-in actionHook */
  url: string | undefined
  method: string | undefined
  /** id of the listen */
  id: string
}

/**
 * Returns the actionHook of a listen for jambonz. A url of this application gets `?listen=<id>`, and for GET a
 * key; any other url stays unchanged. A relative url is a whole path, or a path within the scope's prefix. The path of
 * `publicUrl` is put before it, since jambonz resolves a relative url against the root of the host.
 */
export function hookUrl(
  application: Omit<Application, 'sockets'>,
  request: FastifyRequest,
  asked: HookAsked
): HookUrl {
  const { options, routes, defaultHookPath } = application
  const { url = actualPath(defaultHookPath, request), id } = asked
  const method = asked.method?.toUpperCase() === 'GET' ? 'GET' : 'POST'
  const ours = `listen=${id}${method === 'GET' ? `&key=${signHookKey(options.secret, id)}` : ''}`
  const own = readOwnUrl(url, request, options.publicUrl)
  if (own === undefined) return { url, isOurs: false }
  const publicPath = options.publicUrl?.path ?? ''
  if (own.base !== '') {
    const kind = routes.kindOf(method, own.path)
    // The url has the origin of this application, but leads to none of its routes, so it stays unchanged.
    if (kind === undefined) return { url, isOurs: false }
    warnOfHook(application, request, { url, method, kind })
    return { url: withQuery(own.base + own.path, own.rest, ours), isOurs: kind === 'actionHook' }
  }
  const find = (path: string) => routes.kindOf(method, path)
  const found = foundAt(own.path, find) ?? foundAt(joinPath(actualPrefix(request), own.path), find)
  if (found !== undefined) {
    warnOfHook(application, request, { url, method, kind: found.value })
    const isOurs = found.value === 'actionHook'
    return { url: withQuery(publicPath + found.path, own.rest, ours), isOurs }
  }
  const inner = pathBelow(own.path, options.publicUrl) ?? own.path
  const kind = routes.kindOf(method, inner)
  warnOfHook(application, request, { url, method, kind })
  return { url: withQuery(own.path, own.rest, ours), isOurs: kind === 'actionHook' }
}

/**
 * Returns the url with `ours` in its query. Characters other than printable ASCII are escaped, since jambonz can't
 * request them.
 */
function withQuery(path: string, rest: string, ours: string): string {
  if (rest === '') return `${printable(path)}?${ours}`
  const [query = '', ...fragment] = rest.startsWith('#') ? ['', rest] : rest.split(/(?=#)/)
  return printable(`${path}${query}${query === '' ? '?' : '&'}${ours}${fragment.join('')}`)
}

function printable(url: string): string {
  return PRINTABLE.test(url) ? url : url.replace(UNPRINTABLE, escaped)
}

/** Returns the letter percent-encoded; half of a surrogate pair becomes the replacement character. */
function escaped(letter: string): string {
  return encodeURIComponent(Buffer.from(letter).toString())
}

const PRINTABLE = /^[!-~]*$/
const UNPRINTABLE = /[^!-~]/gu

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

/** The beginning of a url that jambonz can call. */
const CALLABLE = /^(?:\/|https?:|wss?:)/i
const NO_SLASH =
  'the actionHook of a listen does not begin with a slash, so jambonz cannot call it: write a path such as "/done", or an absolute url'

/** Logs a hook that does not work, once for each route. */
function warnOfHook(
  { warned }: Pick<Application, 'warned'>,
  request: FastifyRequest,
  { url, method, kind }: { url: string; method: string; kind: RouteKind | undefined }
): void {
  const mistake = !CALLABLE.test(url) ? NO_SLASH : kind === undefined ? NO_ROUTE : MISTAKES[kind]
  if (mistake === undefined) return
  const route = `${request.routeOptions.url} ${method} ${url.replace(/[?#].*$/s, '')}`
  if (isNews(warned, route)) request.log.warn({ actionHook: url, method }, mistake)
}

/** Maximum number of mistakes to remember and log. Without it, hooks whose urls all differ would fill the memory. */
const MAX_WARNED = 100

/** Returns true for a mistake that was not logged yet, and notes it. Returns false once MAX_WARNED were logged. */
export function isNews(warned: Set<string>, mistake: string): boolean {
  if (warned.has(mistake) || warned.size >= MAX_WARNED) return false
  warned.add(mistake)
  return true
}

/** Logs an answer without verbs to a new call, once for each route, since its handler may lack a `return`. */
export function warnOfDecline(
  { warned }: Pick<Application, 'warned'>,
  request: FastifyRequest,
  { callStatus, direction, listens }: Call
): void {
  if (callStatus !== 'trying' || direction !== 'inbound' || listens.length > 0) return
  if (!isNews(warned, `${request.routeOptions.url} declines`)) return
  request.log.warn(
    'the handler answered a new call without verbs, so jambonz declines the call: return an array of verbs'
  )
}

/** the HTTP statuses with which jambonz takes verbs, and the one for no verbs (feature-server lib/utils/http-requestor.js) */
export const TAKEN: ReadonlySet<number> = new Set([200, 202])
export const NO_CONTENT = 204
const IGNORED_STATUS =
  'jambonz ignores an answer with this status: it takes verbs only with status 200 or 202, and follows no redirect'
/**
 * Logs an answer that jambonz ignores because of its status, once for each route and status. jambonz itself reports a
 * status of 400 or more, but not over a websocket, where it gets no status. Errors of 500 or more are logged already.
 */
export function warnOfStatus(
  { warned }: Pick<Application, 'warned'>,
  request: FastifyRequest,
  statusCode: number
): void {
  if (TAKEN.has(statusCode)) return
  const { [kReturned]: returned } = request
  const isEmpty = statusCode === NO_CONTENT && !(Array.isArray(returned) && returned.length > 0)
  const isReported = statusCode >= (messageOf(request) ? 500 : 400)
  if (isEmpty || isReported || !isNews(warned, `${request.routeOptions.url} answers ${statusCode}`)) return
  request.log.warn({ statusCode }, IGNORED_STATUS)
}

type Serialize = (request: FastifyRequest) => unknown
type Serializers = Record<string, unknown> | undefined

/** pino keeps a logger's serializers under this name (pino.symbols.serializersSym). */
const PINO_SERIALIZERS = Symbol.for('pino.serializers')
const KEY = /([?&]key=)[^&#]*/g

/**
 * Returns the request serializer of the host or the route, but hides the key of a GET hook, since a reader of
 * the log could call the hook with this key.
 */
export function hideHookKey(instance: FastifyInstance, own: Serializers): Serialize {
  const inherited = (instance.log as unknown as Record<symbol, Serializers>)[PINO_SERIALIZERS]
  const serialize = (own?.req ?? inherited?.req ?? basics) as Serialize
  return (request) => withoutKey(serialize(request))
}

function withoutKey(logged: unknown): unknown {
  if (typeof logged === 'string') return logged.replace(KEY, '$1…')
  if (typeof logged !== 'object' || logged === null || !('url' in logged)) return logged
  const { url } = logged
  return typeof url === 'string' ? { ...logged, url: url.replace(KEY, '$1…') } : logged
}

function basics({ method, url }: FastifyRequest): object {
  return { method, url }
}

const HAS_SCHEME = /^[a-z][\w+.-]*:/i
const SOCKET_SCHEMES: ReadonlySet<string> = new Set(['ws:', 'wss:'])
const HOST = 'ws://socket'

/**
 * Returns the path and query of the route that a hook leads to: a webhook, an actionHook or a statusHook of
 * this plugin. Returns undefined for any other url, since a message must not reach other routes. The host of
 * a ws url is ignored, as jambonz sends such hooks on this socket. A relative url is resolved against the url
 * of the socket. The path of `publicUrl` is removed, as a proxy would. The path is normalized before it is
 * looked up, so that dots, backslashes and escapes can't lead to another route.
 */
export function hookPath(
  hook: string,
  socket: Pick<FastifyRequest, 'url'>,
  { routes, options }: Pick<Application, 'routes' | 'options'>
): string | undefined {
  const url = parsed(hook, socket.url)
  if (url === undefined || !SOCKET_SCHEMES.has(url.protocol)) return undefined
  const { pathname: path, search } = url
  const found = [path, pathBelow(path, options.publicUrl) ?? path].find((candidate) => {
    const kind = routes.kindOf('POST', candidate)
    return kind === 'webhook' || kind === 'actionHook' || kind === 'statusHook'
  })
  return found && found + search
}

function parsed(hook: string, base: string): URL | undefined {
  try {
    if (hook.startsWith('/')) return new URL(HOST + hook)
    return HAS_SCHEME.test(hook) ? new URL(hook) : new URL(hook, HOST + base)
  } catch {
    return undefined
  }
}

/**
 * Returns the path and query of the webhook that answers a socket's first message, which are those of the
 * socket's url. For a dialled leg that continues without its caller, `/adulting` is removed from the end of
 * the path. Fastify's `rewriteUrl` applies to the result, as it did to the socket's url.
 */
export function firstPath(
  { url, originalUrl }: Pick<FastifyRequest, 'url' | 'originalUrl'>,
  routes: JambonzRoutes
): string {
  const [path] = partsOf(url)
  if (!path.endsWith(ADULTING) || routes.kindOf('POST', path) === 'webhook') return originalUrl
  const [asked, query] = partsOf(originalUrl)
  return (asked.endsWith(ADULTING) ? asked.slice(0, -ADULTING.length) || '/' : asked) + query
}

/** Returns the path of a url, and its query with the `?`. */
function partsOf(url: string): [path: string, query: string] {
  const [, path = '', query = ''] = /^([^?]*)(.*)$/s.exec(url) ?? []
  return [path, query]
}

/**
 * Refuses messages of an application websocket on every route that is not of this plugin. A message could
 * reach such a route through a constraint, a rewritten url, or a route of the application on the path of a
 * webhook with parameters.
 */
export function keepMessagesOut(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, _reply, done) => {
    const isOurs = request.routeOptions.config[kKind] !== undefined
    if (isOurs || messageOf(request) === undefined) done()
    else done(new ERR_HOOK_ROUTE(request.url))
  })
}

/**
 * The statusHooks, by the Fastify instance that registered them, since a message call:status names no
 * statusHook.
 */
export class StatusHooks {
  readonly #paths = new Map<FastifyInstance, string>()

  /** Notes a statusHook. `path`: the whole path. Only the first statusHook of an instance counts. */
  add(instance: FastifyInstance, path: string): void {
    if (!this.#paths.has(instance)) this.#paths.set(instance, path)
  }

  /**
   * Returns the path of the statusHook in the scope of the socket's webhook, or in the nearest scope around
   * that scope. Fills in the parameters that both routes have. Returns undefined if there is no statusHook.
   */
  pathFor(socket: FastifyRequest): string | undefined {
    for (
      let scope: FastifyInstance | null = socket.server;
      scope !== null;
      scope = Object.getPrototypeOf(scope) as FastifyInstance | null
    ) {
      const path = this.#paths.get(scope)
      if (path !== undefined) return filledIn(path, socket)
    }
    return undefined
  }
}

/**
 * Returns the path with the parameters of the socket's own route; undefined if the socket's route lacks a
 * parameter.
 */
function filledIn(path: string, { params }: FastifyRequest): string | undefined {
  const values = (params ?? {}) as Record<string, string>
  let complete = true
  const filled = path.replace(/:(\w+)/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) complete = false
    return encodeURIComponent(value ?? '')
  })
  return complete ? filled : undefined
}
