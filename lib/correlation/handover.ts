import { hasCredentials, isSameCredentials, type Credentials } from '../model/credentials.js'
import { isObject, type Data } from '../model/json.js'
import { listenIn } from '../model/callWrite.js'
import { isOffered, isOpen, lengthLeft, stageOf } from '../model/listenLife.js'
import type { Call, EndReason, Listen, StoredCall, StoredListen } from '../model/schema.js'
import { signHookKey, signSocketToken, type Hmac } from '../model/tokens.js'
import { LISTEN_METADATA_KEY, listenKeyOf } from '../verbs/index.js'
import { wallClock } from '../model/time.js'
import type { Correlation } from './Correlation.js'

// A closing instance hands its listens over. It closes the socket, jambonz calls the actionHook, and the answer is the
// same listen again. jambonz then opens a new socket, which the load balancer routes to another instance. The call
// keeps the verbs of the last answer for this. When one socket of a call closes, jambonz 0.9 ends all listens of the
// call, so all of them are handed over together. For this, the answer starts each background listen again with a
// `config` verb, before the verb of the foreground listen.

/** Maximum bytes of the JSON of verbs that a call keeps. If the verbs are longer, their listens are not handed over. */
const MAX_APPLICATION_BYTES = 32_768
/** Maximum number of answers in a row that open no socket. Each may have led jambonz to another closing instance. */
const MAX_IN_VAIN = 8
/**
 * ms to wait, per answer that opened no socket, before the next answer, so that the load balancer can notice
 * that the instance closes
 */
const DELAY = 50

/** The key that we add to the url of a GET hook: see signHookKey() in lib/model/tokens.ts. */
const HOOK_KEY = /&key=[\w-]{22}(?=[&#]|$)/
/** The signature that follows the id of a listen in the path of its socket. */
const SOCKET_SIGNATURE = /^\.[\w-]+/

/** The result of `backgroundsOf()` if there is no background listen. */
const NONE: ReadonlyMap<string, string> = new Map()

/** The key and the tag with which the socket path of a handed-over listen is signed. */
export interface Signer {
  secret: Hmac
  /** tag of this instance: see SocketToken */
  issuer: string
}

/**
 * Returns the verbs of an answer as JSON, which the call keeps, without our own credentials and signatures. Returns
 * undefined if no verb listens in the foreground, if the verbs have other credentials, or if the JSON is too long.
 */
export function applicationOf(verbs: readonly object[], auth: Credentials | undefined): string | undefined {
  if (!verbs.some((verb) => listenIdOf(verb as Data) !== undefined)) return undefined
  return keptJson(verbs.map((verb) => eachListen(verb as Data, (listen) => withoutTokens(listen, auth))))
}

/**
 * Returns, by listen id, the JSON of the `config` verbs of an answer that start a background listen of ours, without
 * credentials and signatures. Leaves out verbs with other credentials, and verbs that are too long.
 */
export function backgroundsOf(
  verbs: readonly object[],
  auth: Credentials | undefined
): ReadonlyMap<string, string> {
  let found = NONE
  for (const verb of verbs as readonly Data[]) {
    const [key, listen] = backgroundOf(verb)
    if (listen === undefined || !(listen.wsAuth === undefined || isSame(listen.wsAuth, auth))) continue
    const json = keptJson({ verb: 'config', [key]: withoutTokens(listen, auth) })
    if (json !== undefined) found = new Map(found).set(String(idIn(listen)), json)
  }
  return found
}

/** Returns the JSON of verbs; undefined if they have credentials, or are too long. */
function keptJson(verbs: object): string | undefined {
  const json = JSON.stringify(verbs)
  return hasCredentials(verbs, json) || Buffer.byteLength(json) > MAX_APPLICATION_BYTES ? undefined : json
}

/**
 * Returns the key under which a verb has its listen. For a `config` with a listen of ours, also returns the
 * listen's options.
 */
function backgroundOf(verb: Data): [key: string, listen?: Data] {
  const key = listenKeyOf(verb)
  const listen = verb[key]
  const isOurs = verb.verb === 'config' && isObject(listen) && idIn(listen) !== undefined
  return isOurs ? [key, listen] : [key]
}

/**
 * Returns the verbs of an answer that continues the listen. These are the `config` verbs of the background listens that
 * wait for their next socket, the verb of the listen, without a second beep and for the remaining time, and the verbs
 * after it, since an answer replaces all verbs. Returns undefined if the listen can't go on.
 */
export function verbsToGoOn(
  call: StoredCall,
  listen: Listen,
  auth: Credentials | undefined,
  signer?: Signer
): object[] | undefined {
  const verbs = verbsOf(call)
  const at = verbs.findIndex((verb) => listenIdOf(verb) === listen.id)
  const left = lengthLeft(listen)
  if (at === -1 || (left !== undefined && left <= 0)) return undefined
  const { playBeep, ...verb } = verbs[at] ?? {}
  return [
    ...waitingBackgrounds(call).map((listen) => backgroundToGoOn(listen) ?? {}),
    { ...verb, ...(left !== undefined && { maxLength: left }) },
    ...verbs.slice(at + 1)
  ].map((verb) => complete(verb, call, auth, signer))
}

/** Verbs that start background listens again, and the verbs that follow if the handler of the hook answers none. */
export interface Restart {
  backgrounds: object[]
  rest: object[]
}

/**
 * Returns the verbs that start `backgrounds` again with the answer of a hook whose listen has ended, and the verbs after
 * that listen, since an answer replaces all verbs. Returns undefined if the call does not keep the verbs of the listen.
 */
export function restartOf(
  call: StoredCall,
  { id }: Listen,
  backgrounds: readonly StoredListen[],
  auth: Credentials | undefined,
  signer: Signer
): Restart | undefined {
  const verbs = verbsOf(call)
  const at = verbs.findIndex((verb) => listenIdOf(verb) === id)
  const all = (some: Data[]): object[] => some.map((verb) => complete(verb, call, auth, signer))
  return at === -1
    ? undefined
    : {
        backgrounds: all(backgrounds.map((listen) => backgroundToGoOn(listen) ?? {})),
        rest: all(verbs.slice(at + 1))
      }
}

/** Returns a verb that the call keeps, with our credentials and signatures. */
function complete(verb: Data, call: StoredCall, auth: Credentials | undefined, signer?: Signer): Data {
  return eachListen(verb, (listen) => ({
    ...(signer === undefined ? listen : withTokens(listen, call, signer)),
    ...(auth !== undefined && { wsAuth: listen.wsAuth ?? auth })
  }))
}

/** Returns the background listens of the call that wait for their next socket, and are to be asked for again. */
export function waitingBackgrounds(call: StoredCall): StoredListen[] {
  return call.listens.filter(
    (listen) => isOffered(listen) && backgroundToGoOn(listen) !== undefined && nextOffer(listen) !== undefined
  )
}

/** Returns the `config` that starts a background listen again, for the remaining time; undefined if nothing can. */
function backgroundToGoOn(listen: StoredListen): Data | undefined {
  const left = lengthLeft(listen)
  if (listen.background === undefined || (left !== undefined && left <= 0)) return undefined
  const [verb] = verbsIn(`[${listen.background}]`)
  const [key, options] = backgroundOf(verb ?? {})
  if (options === undefined) return undefined
  return { ...verb, [key]: { ...options, ...(left !== undefined && { maxLength: left }) } }
}

/**
 * Returns the number of answers that have asked jambonz for the listen again, counting the next answer, and
 * the ms to wait before the next answer. Returns undefined if no further answer is to be tried.
 */
export function nextOffer({
  offers = 0,
  segments = []
}: StoredListen): { offers: number; delayMs: number } | undefined {
  const inVain = offers + 1 - segments.length
  return inVain > MAX_IN_VAIN ? undefined : { offers: offers + 1, delayMs: DELAY * Math.max(0, inVain - 1) }
}

/**
 * Returns true if another instance can continue the listen. For this, its hook must be ours, and jambonz must run the
 * verbs of the answer. jambonz ignores the answer if the listen is nested in `dial`. If the listen is in `config`, the
 * answer replaces the verbs that the caller hears (feature-server lib/tasks/listen.js).
 */
function canGoOn(call: StoredCall, listen: StoredListen): boolean {
  return (
    listen.nested === undefined && hasOurHook(listen) && verbsToGoOn(call, listen, undefined) !== undefined
  )
}

/**
 * Returns the ids of the call's open listens that other instances can continue: the foreground listen and the
 * background listens. Returns no ids without a foreground listen, since jambonz would call no hook of ours whose answer
 * could start the background listens.
 */
export function goingOn(call: StoredCall): string[] {
  const inFront = call.listens.filter((listen) => isOpen(listen) && canGoOn(call, listen))
  return inFront.length === 0 ? [] : [...openBackgrounds(call), ...inFront].map(({ id }) => id)
}

/**
 * Resolves to true if jambonz closed a listen's socket because another instance hands over the call, also if the message
 * of that instance has not come: the store says that another listen is open again. `known`: the call as it was before.
 */
export async function goesOnWithCall(
  { store }: Correlation,
  known: Call,
  { id, nested }: Listen,
  reason: EndReason
): Promise<boolean> {
  const hasOthers = nested === 'config' || known.listens.length > 1
  if (!store.shared || !hasOthers || (reason !== 'closed' && reason !== 'otherEnded')) return false
  const call = await store.get(known.callSid)
  const listen = call?.endedAt === undefined ? listenIn(call, id) : undefined
  if (call === undefined || listen === undefined) return false
  const isHandedOver = call.listens.some((other) => other.id !== id && stageOf(other) === 'open again')
  return isHandedOver && (backgroundToGoOn(listen) !== undefined || canGoOn(call, listen))
}

/** Returns the background listens of the call that have a socket, and that other instances can continue. */
export function openBackgrounds(call: StoredCall): StoredListen[] {
  return call.listens.filter((listen) => isOpen(listen) && backgroundToGoOn(listen) !== undefined)
}

/** Returns true if jambonz calls an actionHook of this plugin when the listen ends. */
export function hasOurHook({ nested, foreignHook }: StoredListen): boolean {
  // jambonz accepts no hook for a listen in `config`.
  return nested !== 'config' && foreignHook !== true
}

function verbsOf({ application }: StoredCall): Data[] {
  return application === undefined ? [] : verbsIn(application)
}

function verbsIn(json: string): Data[] {
  try {
    const verbs: unknown = JSON.parse(json)
    return Array.isArray(verbs) ? verbs.filter(isObject) : []
  } catch {
    // The JSON in the store is damaged, so its listens are not handed over.
    return []
  }
}

/** Returns the id of the listen of ours that a verb starts in the foreground. Returns undefined for any other verb. */
function listenIdOf(verb: Data): string | undefined {
  return isListen(verb) ? idIn(verb) : undefined
}

/** Returns the id of a listen, from its metadata; undefined if its socket is not ours. */
function idIn({ metadata }: Data): string | undefined {
  const id = isObject(metadata) ? metadata[LISTEN_METADATA_KEY] : undefined
  return typeof id === 'string' ? id : undefined
}

/** Returns the verb with `change` applied to its listens, nested ones included. */
function eachListen(verb: Data, change: (listen: Data) => Data): Data {
  if (isListen(verb)) return change(verb)
  if (verb.listen === undefined && verb.stream === undefined) return verb
  const nested = Object.entries(verb).filter(
    ([name, value]) => (name === 'listen' || name === 'stream') && isObject(value)
  )
  return nested.length === 0
    ? verb
    : { ...verb, ...Object.fromEntries(nested.map(([name, value]) => [name, change(value as Data)])) }
}

/** Returns a listen without our signatures, and without its credentials if they are `auth`. */
function withoutTokens(listen: Data, auth: Credentials | undefined): Data {
  const kept = { ...listen }
  const { url, actionHook } = kept
  const id = idIn(kept)
  // JSON leaves out undefined properties, so this removes the credentials.
  if (kept.wsAuth !== undefined && isSame(kept.wsAuth, auth)) kept.wsAuth = undefined
  if (id !== undefined && typeof url === 'string') kept.url = withoutSignature(url, id)
  if (typeof actionHook === 'string') kept.actionHook = withoutKey(actionHook)
  else if (actionHook !== undefined) Object.assign(kept, onHookUrl(actionHook, withoutKey))
  return kept
}

function withoutKey(hook: string): string {
  return hook.includes('&key=') ? hook.replace(HOOK_KEY, '') : hook
}

// Removes the signature from the url of a listen's socket. It uses no regular expression with the id, since
// compiling one would cost more than all other work on a verb.
function withoutSignature(url: string, id: string): string {
  const at = url.indexOf(`/${id}.`)
  if (at < 0) return url
  const end = at + 1 + id.length
  return url.slice(0, end) + url.slice(end).replace(SOCKET_SIGNATURE, '')
}

function withTokens(listen: Data, call: StoredCall, { secret, issuer }: Signer): Data {
  const id = idIn(listen)
  const known = call.listens.find((one) => one.id === id)
  const { url, actionHook } = listen
  if (known === undefined || typeof url !== 'string') return listen
  const token = signSocketToken(secret, {
    path: known.path,
    listenId: known.id,
    issuedAt: wallClock(),
    unknown: false,
    paused: known.paused ?? false,
    issuer
  })
  const isGet = isObject(actionHook) && String(actionHook.method).toUpperCase() === 'GET'
  return {
    ...listen,
    url: url.replace(`/${known.id}`, `/${token}`),
    ...(isGet &&
      onHookUrl(actionHook, (hook) =>
        hook.replace(`listen=${known.id}`, `listen=${known.id}&key=${signHookKey(secret, known.id)}`)
      ))
  }
}

function onHookUrl(actionHook: unknown, change: (url: string) => string): { actionHook?: unknown } {
  if (typeof actionHook === 'string') return { actionHook: change(actionHook) }
  return isObject(actionHook) && typeof actionHook.url === 'string'
    ? { actionHook: { ...actionHook, url: change(actionHook.url) } }
    : {}
}

function isListen({ verb }: Data): boolean {
  return verb === 'listen' || verb === 'stream'
}

/** Returns true if a listen has no credentials, or the credentials that the plugin gives to its listens. */
function isSame(wsAuth: unknown, auth: Credentials | undefined): boolean {
  return wsAuth === undefined || (isObject(wsAuth) && isSameCredentials(wsAuth, auth))
}
