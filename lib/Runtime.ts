import type { FastifyBaseLogger } from 'fastify'
import type { Application } from './application/Application.js'
import type { Calls } from './correlation/Calls.js'
import type { SessionServices } from './listening/Session.js'
import type { Sessions } from './listening/Sessions.js'
import type { Metrics } from './metrics/index.js'
import type { ResolvedOptions } from './options.js'

/** What one registration of the plugin is made of: handed to everything that serves its routes. */
export interface Runtime extends Application, SessionServices {
  readonly options: ResolvedOptions
  readonly logger: FastifyBaseLogger
  readonly calls: Calls
  readonly sessions: Sessions
  readonly metrics: Metrics
  /** takes the metrics out of the option `registry` */
  readonly leaveRegistry: (() => void) | undefined
}
