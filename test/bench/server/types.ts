import type { Usage } from './usage.js'

export interface ServerOptions {
  name: ServerName
  /** directory of the recordings */
  directory: string
  /** port of a redis-server; undefined: calls are stored in memory */
  redisPort?: number
  /** number of processes that share one port */
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
  /** bytes of the file's header, which come before the audio */
  header: number
  /** number of channels, of which the first is the caller; default 1 */
  channels?: number
}

/** A running server to measure. */
export interface Served {
  port: number
  /** resolves to the recordings when all are complete */
  recordings?: () => Promise<RecordedFile[]>
  /** resolves to the usage of all processes of the server together */
  usage?: () => Promise<Usage>
}

export type Serve = (options: ServerOptions) => Promise<Served>
