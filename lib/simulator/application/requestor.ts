import type { ApplicationSocketRecord, RequestRecord } from '../types.js'

/** A hook as a verb or jambonz' configuration names it. */
export type Hook = string | { url: string; method?: string; username?: string; password?: string }

export interface Credentials {
  username: string
  password: string
}

/** The kind of a request, by the name of its websocket message; over HTTP the name is not sent. */
export type RequestType =
  | 'session:new'
  | 'session:redirect'
  | 'session:reconnect'
  | 'verb:hook'
  | 'dial:confirm'
  | 'call:status'
  | 'verb:status'
  | 'jambonz:error'

/** `times`: how often the same bytes are posted (HTTP only); `holdsClock: false`: the call goes on meanwhile, also at speed Infinity. */
export interface RequestExtras {
  times?: number
  holdsClock?: boolean
}

/** How a call asks its application: over HTTP, or over the application's websocket. */
export interface Requestor {
  readonly transport: 'http' | 'websocket'
  /** Scheme, host and port of the application: what relative hooks and sockets are resolved against. */
  readonly baseUrl: string
  /** Sent in place of a listen's `wsAuth` when its url is relative. */
  readonly credentials: Credentials | undefined
  /** Resolves with the answer's JSON; with `''` or undefined when it has none. Raises FST_JAMBONZ_SIM_REQUEST. */
  request(type: RequestType, hook: Hook, params: object, extra?: RequestExtras): Promise<unknown>
  /** Ends it; resolves when nothing more can arrive at the application. */
  close(): Promise<void> | void
}

/** A command of the application: a message of its websocket that is no ack. */
export interface Command {
  command: string
  data: unknown
  queue: boolean
  callSid: string | undefined
}

/** The callbacks of a call that its requestors use. */
export interface SocketEvents {
  record: (request: RequestRecord) => void
  opened: (socket: ApplicationSocketRecord) => void
  closed: (socket: ApplicationSocketRecord) => void
  command: (command: Command) => void
  /** The application did not acknowledge session:reconnect: jambonz hangs up. */
  reconnectFailed: () => void
  error: (text: string) => void
}

/** The url of a hook, as it was given. */
export function urlOf(hook: Hook): string {
  return typeof hook === 'string' ? hook : hook.url
}

const KINDS: Record<RequestType, RequestRecord['kind']> = {
  'session:new': 'webhook',
  'session:redirect': 'hook',
  'session:reconnect': 'reconnect',
  'verb:hook': 'hook',
  'dial:confirm': 'hook',
  'call:status': 'status',
  'verb:status': 'event',
  'jambonz:error': 'event'
}

/** Under which kind a story lists a request. */
export function kindOf(type: RequestType): RequestRecord['kind'] {
  return KINDS[type]
}
