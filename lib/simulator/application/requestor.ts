import type { ApplicationSocketRecord, RequestRecord } from '../types.js'

/** A hook as it stands in a verb or in jambonz' configuration. */
export type Hook = string | { url: string; method?: string; username?: string; password?: string }

export interface Credentials {
  username: string
  password: string
}

/** The type of a request: the `type` of its websocket message. Over HTTP it is not sent. */
export type RequestType =
  | 'session:new'
  | 'session:redirect'
  | 'session:reconnect'
  | 'verb:hook'
  | 'dial:confirm'
  | 'call:status'
  | 'verb:status'
  | 'jambonz:error'

/**
 * `times`: number of posts of the same bytes (HTTP only). `holdsClock: false`: simulated time passes while it waits.
 */
export interface RequestExtras {
  times?: number
  holdsClock?: boolean
}

/** Sends the requests of a call to its application, over HTTP or over the application's websocket. */
export interface Requestor {
  readonly transport: 'http' | 'websocket'
  /** Scheme, host and port of the application. Relative hooks and sockets are resolved against it. */
  readonly baseUrl: string
  /** The credentials that are sent in place of a listen's `wsAuth` if its url is relative. */
  readonly credentials: Credentials | undefined
  /** Resolves to the JSON of the answer, `''` or undefined if it has none. Throws FST_JAMBONZ_SIM_REQUEST. */
  request(type: RequestType, hook: Hook, params: object, extra?: RequestExtras): Promise<unknown>
  /** Closes the connections. Resolves when nothing more can arrive at the application. */
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
  /** Called if the application does not acknowledge session:reconnect: jambonz then hangs up. */
  reconnectFailed: () => void
  error: (text: string) => void
}

/** Returns the url of a hook, unchanged. */
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

/** Returns the kind of a request in the story. */
export function kindOf(type: RequestType): RequestRecord['kind'] {
  return KINDS[type]
}
