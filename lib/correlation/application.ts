import { LISTEN_METADATA_KEY, type Credentials } from '../verbs/index.js'
import type { Call, Listen } from '../model/schema.js'
import { lengthLeft } from '../model/segments.js'

/** characters of JSON: a longer application is not kept, and its listens are not handed over */
const MAX_APPLICATION = 32_768
/** what a verb may hold that is no business of the store */
const CREDENTIALS = /"(?:wsAuth|basicAuth|auth|password|credentials|apiKey|api_key)":/

type Data = Record<string, unknown>

/**
 * The verbs of an answer as they are kept on the call, as JSON, for listens that are handed over: without our own
 * credentials. Undefined where no verb listens in the foreground, or where they hold other credentials.
 */
export function applicationOf(verbs: readonly object[], auth: Credentials | undefined): string | undefined {
  if (!verbs.some((verb) => listenIdOf(verb as Data) !== undefined)) return undefined
  const kept = verbs.map((verb) =>
    eachListen(verb as Data, ({ wsAuth, ...listen }) =>
      isSame(wsAuth, auth) ? listen : { ...listen, wsAuth }
    )
  )
  const json = JSON.stringify(kept)
  return json.length <= MAX_APPLICATION && !CREDENTIALS.test(json) ? json : undefined
}

/**
 * What a hook is answered with so that the listen goes on: its verb, without a second beep and for the time it has left,
 * and those that followed, as an answer replaces them all. Undefined where it can't go on.
 */
export function verbsToGoOn(call: Call, listen: Listen, auth: Credentials | undefined): object[] | undefined {
  const verbs = verbsOf(call)
  const at = verbs.findIndex((verb) => listenIdOf(verb) === listen.id)
  const left = lengthLeft(listen)
  if (at === -1 || (left !== undefined && left <= 0)) return undefined
  const { playBeep, ...verb } = verbs[at] ?? {}
  return [{ ...verb, ...(left !== undefined && { maxLength: left }) }, ...verbs.slice(at + 1)].map((verb) =>
    auth === undefined ? verb : eachListen(verb, (listen) => ({ ...listen, wsAuth: listen.wsAuth ?? auth }))
  )
}

/** The hook of the listen's own verb, where it is one in the foreground. */
export function hookOf(call: Call, listenId: string): string | undefined {
  const { actionHook } = verbsOf(call).find((verb) => listenIdOf(verb) === listenId) ?? {}
  const url = isData(actionHook) ? actionHook.url : actionHook
  return typeof url === 'string' ? url : undefined
}

function verbsOf({ application }: Call): Data[] {
  return application === undefined ? [] : (JSON.parse(application) as Data[])
}

/** Of a verb that listens in the foreground, to a socket of ours. */
function listenIdOf(verb: Data): unknown {
  return isListen(verb) && isData(verb.metadata) ? verb.metadata[LISTEN_METADATA_KEY] : undefined
}

/** The verb with each of its listens, itself or nested, changed. */
function eachListen(verb: Data, change: (listen: Data) => Data): Data {
  if (isListen(verb)) return change(verb)
  const nested = Object.entries(verb).filter(
    ([name, value]) => (name === 'listen' || name === 'stream') && isData(value)
  )
  return nested.length === 0
    ? verb
    : { ...verb, ...Object.fromEntries(nested.map(([name, value]) => [name, change(value as Data)])) }
}

function isListen({ verb }: Data): boolean {
  return verb === 'listen' || verb === 'stream'
}

function isData(value: unknown): value is Data {
  return typeof value === 'object' && value !== null
}

function isSame(wsAuth: unknown, auth: Credentials | undefined): boolean {
  return (
    wsAuth === undefined ||
    (isData(wsAuth) &&
      auth !== undefined &&
      wsAuth.username === auth.username &&
      wsAuth.password === auth.password)
  )
}
