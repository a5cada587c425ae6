import type { Usage } from './usage.js'

export interface ServerOptions {
  name: ServerName
  /** directory of the recordings */
  directory: string
  /** port of a redis-server; undefined: calls are kept in memory */
  redisPort?: number
  /** number of processes behind one port */
  workers?: number
}

export type ServerName =
  | 'bare'
  | 'bareEcho'
  | 'sdk'
  | 'perMessage'
  | 'plugin'
  | 'pluginUnsigned'
  | 'cluster'
  | 'webhookHooks'
  | 'webhookCall'
  | 'webhookVerb'
  | 'webhookListen'
  | 'bareRoute'
  | 'signedRoute'
  | 'express'
  | 'expressValidating'

export interface RecordedFile {
  callSid: string
  path: string
  /** bytes of the file's header, before the audio */
  header: number
  /** number of channels, of which the caller is the first; default 1 */
  channels?: number
}

/** A running server to measure. */
export interface Served {
  port: number
  /** Resolves when all recordings are complete. */
  recordings?: () => Promise<RecordedFile[]>
  /** resolves to the sum over all processes of the server */
  usage?: () => Promise<Usage>
}

export type Serve = (options: ServerOptions) => Promise<Served>
