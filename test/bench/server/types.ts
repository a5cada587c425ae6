import type { Usage } from './usage.js'

export interface ServerOptions {
  name: ServerName
  /** of the recordings */
  directory: string
  /** url of a redis-server; undefined: the calls are in memory */
  redisPort?: number
  /** processes behind one port */
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
  /** bytes before the audio */
  header: number
  /** the caller is the first; default 1 */
  channels?: number
}

/** A server that is measured. */
export interface Served {
  port: number
  /** Resolves when all recordings are complete. */
  recordings?: () => Promise<RecordedFile[]>
  /** over all processes of the server */
  usage?: () => Promise<Usage>
}

export type Serve = (options: ServerOptions) => Promise<Served>
