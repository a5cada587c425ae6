import { randomUUID } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { socketUrl } from '../listening/ownUrls.js'
import { applicationOf, backgroundsOf, type Restart } from '../correlation/handover.js'
import { listenIn } from '../model/callWrite.js'
import type { Credentials } from '../model/credentials.js'
import { isObject, LimitedMap } from '../model/json.js'
import { createListenId } from '../model/tokens.js'
import type { Call } from '../model/schema.js'
import type { Application } from './Application.js'
import { asTraced } from './observeRequests.js'
import {
  prepareVerbs,
  type HandlerResult,
  type HookUrl,
  type Platform,
  type VerbContext
} from '../verbs/index.js'
import { hookUrl, isNews, NO_CONTENT, TAKEN } from './hookUrls.js'
import { bodyBytesOf, kRawBody, kSignedAt, kStage, kTrace } from './request.js'
import { wallClock } from '../model/time.js'

/** ms in which jambonz may repeat an unanswered request */
const REPEATED_WITHIN = 60_000
/** Number of times that a repeated signed request gets new listens after its first listens have had their sockets. */
const MAX_REPLAYS = 3
/** Maximum number of signed requests to remember. */
const MAX_REMEMBERED = 1_000

/**
 * Fills in and checks the verbs of a handler. Resolves to the verbs once their listens are written to the
 * store.
 */
export async function answer(
  application: Omit<Application, 'sockets'>,
  request: FastifyRequest,
  call: Call,
  result: HandlerResult
): Promise<object[]> {
  const { store, auth } = application.options
  const { verbs, listens } = prepareVerbs(result, new AnswerContext(application, request, call, store.shared))
  if (listens.length === 0) return withRestart(request, verbs)
  for (const { id } of listens) application.liveListens.expected.add(id)
  // Only another instance that has the same store can continue a listen with the verbs that the call keeps.
  const known = await application.correlation.answered(
    call.callSid,
    asTraced(request[kTrace], listens),
    store.shared ? applicationOf(verbs, auth) : undefined,
    store.shared ? backgroundsOf(verbs, auth) : undefined
  )
  // If the store did not get the listens, the signed paths of the sockets must say that other instances may
  // not know these listens, so the verbs are prepared again.
  const sure =
    known === store.shared
      ? verbs
      : prepareVerbs(result, new AnswerContext(application, request, call, known)).verbs
  return withRestart(request, sure)
}

/** the background listens that go on with the answer of a hook, by the request of the hook */
const restarts = new WeakMap<FastifyRequest, Restart>()

/** Lets the answer of a hook start background listens again. */
export function restartWithAnswer(request: FastifyRequest, restart: Restart): void {
  restarts.set(request, restart)
}

/**
 * Returns the body of an answer, with the verbs of the background listens that go on with it, also if the handler itself
 * has sent no body, or text that is JSON. The status becomes one with which jambonz takes verbs.
 */
export function withRestartInBody(request: FastifyRequest, reply: FastifyReply, body: unknown): unknown {
  const isEmpty = reply.statusCode === NO_CONTENT
  if (!restarts.has(request) || !(isEmpty || TAKEN.has(reply.statusCode))) return body
  if (isEmpty) reply.code(200)
  // In any other stage, the body has the verbs already.
  const verbs = request[kStage] === 'handling' ? verbsInBody(body) : undefined
  if (verbs === undefined) return body
  reply.type('application/json; charset=utf-8')
  return JSON.stringify(withRestart(request, verbs))
}

/** Returns the verbs in the body of an answer; none if it is empty, and undefined if it is no JSON of verbs. */
function verbsInBody(body: unknown): object[] | undefined {
  if (body === undefined || body === null || body === '') return []
  try {
    const verbs = typeof body === 'string' ? [JSON.parse(body) as unknown].flat() : undefined
    return verbs?.every((verb) => isObject(verb)) ? verbs : undefined
  } catch {
    return undefined
  }
}

function withRestart(request: FastifyRequest, verbs: object[]): object[] {
  const restart = restarts.get(request)
  if (restart === undefined) return verbs
  // Without verbs in the answer, jambonz would go on with the verbs that it has.
  return [...restart.backgrounds, ...(verbs.length > 0 ? verbs : restart.rest)]
}

/**
 * Fills in and checks the verbs of a command, like `answer()`. `asked`: an earlier request of jambonz for the call,
 * whose host and prefix the urls get.
 */
export async function answerTo(
  application: Omit<Application, 'sockets'>,
  asked: FastifyRequest,
  callSid: string,
  result: HandlerResult
): Promise<object[]> {
  const { correlation } = application
  const call = (await correlation.store.get(callSid)) ?? (await correlation.arrived(callSid, {}))
  const request = Object.create(asked, {
    [kRawBody]: { value: Buffer.from(randomUUID()) },
    [kSignedAt]: { value: null },
    [kTrace]: { value: null }
  }) as FastifyRequest
  return await answer(application, request, call, result)
}

/** The values that complete the verbs of an answer to a request. */
class AnswerContext implements VerbContext {
  readonly call: Call
  readonly platform: Platform
  readonly auth?: Credentials
  readonly warn?: (message: string) => void
  readonly defaultActionHook = true
  readonly #application: Omit<Application, 'sockets'>
  readonly #request: FastifyRequest
  /** false if other instances may not know the listens */
  readonly #known: boolean

  /** `known`: true if all instances can see the listens. */
  constructor(
    application: Omit<Application, 'sockets'>,
    request: FastifyRequest,
    call: Call,
    known: boolean
  ) {
    const { platform, auth, validation } = application.options
    this.call = call
    this.platform = platform
    this.#application = application
    this.#request = request
    this.#known = known
    if (auth !== undefined) this.auth = auth
    if (validation === 'warn') this.warn = (message) => warnOfVerb(application, request, message)
  }

  listenId(ordinal: number): string {
    return listenIdOf(this.#application, this.#request, this.call, ordinal)
  }

  audioUrl(
    url: string | undefined,
    id: string,
    wsAuth?: Credentials
  ): { path: string; url: string } | undefined {
    return socketUrl(this.#application, this.#request, {
      id,
      url,
      wsAuth,
      issuedAt: issuedAt(this.call, id),
      unknown: !this.#known
    })
  }

  hookUrl(url: string | undefined, id: string, method?: string): HookUrl {
    return hookUrl(this.#application, this.#request, { url, id, method })
  }
}

/**
 * The signed requests that were repeated after their listens had begun. They are counted, since a signature
 * is valid for minutes, and somebody else may send the request again meanwhile.
 */
export class Replays {
  readonly #first = new LimitedMap<string, number>(MAX_REMEMBERED)

  /**
   * Returns true if a request was repeated too often to get new listens. `generation`: how often it got new
   * listens.
   */
  isOld(request: string, generation: number): boolean {
    const first = this.#first.get(request)
    if (first !== undefined) return generation >= first + MAX_REPLAYS
    this.#first.set(request, generation)
    return false
  }
}

/** Logs a verb that jambonz' schemas would refuse, each message once. */
function warnOfVerb({ warned }: Pick<Application, 'warned'>, request: FastifyRequest, message: string): void {
  if (!isNews(warned, message)) return
  request.log.warn({ verb: message }, "a verb is sent that jambonz' published schemas refuse")
}

/**
 * Returns the id of a listen by its place in the answer, `ordinal`. A repeated request gets the same ids as
 * long as none of the sockets has opened (feature-server repeats requests as the fragment of the url says). The url
 * and the body identify the request. A replayed signed request gets new listens only MAX_REPLAYS times.
 */
function listenIdOf(
  { options: { secret }, replays }: Pick<Application, 'options' | 'replays'>,
  request: FastifyRequest,
  call: Call,
  ordinal: number
): string {
  const body = bodyBytesOf(request) ?? undefined
  const idOf = (generation: number): string =>
    createListenId(secret, call.callSid, `${request.url}\n${ordinal}\n${generation}`, body)
  const id = idOf(0)
  if (listenIn(call, id) === undefined) return id
  const listens = new Map(call.listens.map((listen) => [listen.id, listen]))
  const first = firstWithout((generation) => listens.has(idOf(generation)))
  const last = idOf(first - 1)
  const signedAt = request[kSignedAt]
  const isOld = signedAt !== null && replays.isOld(`${id}\n${signedAt}`, first)
  const { state, instance } = listens.get(last) ?? {}
  const isOpen = state === 'expected' && instance === undefined
  return isOpen || isOld ? last : idOf(first)
}

/**
 * Returns the first number from 0 for which `has` is false, by a binary search. `has` must be true for all
 * smaller numbers, and false for all larger numbers.
 */
function firstWithout(has: (number: number) => boolean): number {
  let above = 1
  while (has(above - 1)) above *= 2
  let below = Math.floor(above / 2)
  while (below < above - 1) {
    const middle = Math.floor((below + above) / 2)
    if (has(middle - 1)) below = middle
    else above = middle
  }
  return below
}

/**
 * Returns the time, in ms, at which the listen's path was first answered, so that a repeated request gets the same
 * path.
 */
function issuedAt(call: Call, id: string): number {
  const now = wallClock()
  const repeated = listenIn(call, id)
  if (repeated === undefined) return now
  const earlier = Date.parse(repeated.createdAt)
  return now - earlier < REPEATED_WITHIN ? earlier : now
}
