export interface ServerOptions {
  name: ServerName
  /** of the recordings */
  directory: string
  /** of a redis-server; none: the calls are in memory */
  redisPort?: number
  /** of the plugin; a free one otherwise */
  port?: number
}

export type ServerName = 'bare' | 'bareEcho' | 'sdk' | 'perMessage' | 'plugin' | 'bareRoute' | 'signedRoute' | 'express' | 'expressValidating'

export interface RecordedFile {
  callSid: string
  path: string
  /** bytes before the audio */
  header: number
}

/** A server that is measured. */
export interface Served {
  port: number
  /** Resolves when all recordings are complete. */
  recordings?: () => Promise<RecordedFile[]>
}

export type Serve = (options: ServerOptions) => Promise<Served>
