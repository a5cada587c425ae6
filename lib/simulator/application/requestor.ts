import type { ApplicationSocketRecord, RequestRecord } from '../types.js'

/** A hook, as a verb or jambonz' configuration gives it. */
export type Hook = string | { url: string; method?: string; username?: string; password?: string }

export interface Credentials {
  username: string
  password: string
}

/** The type of a request. Over a websocket it is the `type` of the message; over HTTP jambonz does not send it. */
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
 * `times`: how often the same bytes are posted (HTTP only). `holdsClock: false`: simulated time passes while the
 * request waits for its answer.
 */
export interface RequestExtras {
  times?: number
  holdsClock?: boolean
}

/** Sends the requests of a call to its application, over HTTP or over the application's websocket. */
export interface Requestor {
  readonly transport: 'http' | 'websocket'
  /** Scheme, host and port of the application. Relative urls of hooks and sockets are resolved against this address. */
  readonly baseUrl: string
  /** The credentials that jambonz sends in place of a listen's `wsAuth` if the listen's url is relative. */
  readonly credentials: Credentials | undefined
  /** Resolves to the JSON of the answer; without JSON, to `''` or undefined. Throws FST_JAMBONZ_SIM_REQUEST. */
  request(type: RequestType, hook: Hook, params: object, extra?: RequestExtras): Promise<unknown>
  /** Closes the connections. Resolves when nothing more can arrive at the application. */
  close(): Promise<void> | void
}

/** A command of the application: any message on its websocket except an ack. */
export interface Command {
  command: string
  data: unknown
  queue: boolean
  callSid: string | undefined
}

/** The callbacks of a call that its requestors use. */
export interface SocketEvents {
  record: (request: RequestRecord, failure?: string) => void
  opened: (socket: ApplicationSocketRecord) => void
  closed: (socket: ApplicationSocketRecord) => void
  command: (command: Command) => void
  /** Called if the application does not acknowledge session:reconnect: jambonz then hangs up. */
  reconnectFailed: (error: unknown) => void
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
