import type { Usage } from './usage.js'

export interface ServerOptions {
  name: ServerName
  /** of the recordings */
  directory: string
  /** of a redis-server; none: the calls are in memory */
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
  /** of all its processes, where there are several */
  usage?: () => Promise<Usage>
}

export type Serve = (options: ServerOptions) => Promise<Served>
