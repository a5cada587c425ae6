import type { FastifyBaseLogger } from 'fastify'
import type { AudioRoutes } from './listening/AudioRoutes.js'
import type { Sessions } from './listening/Sessions.js'
import type { Calls } from './correlation/Calls.js'
import type { Correlator } from './correlation/Correlator.js'
import type { Handover } from './correlation/Handover.js'
import type { Hooks } from './correlation/Hooks.js'
import type { Metrics } from './metrics/index.js'
import type { ResolvedOptions } from './options.js'
import type { Recordings } from './recording/index.js'
import type { Tracing } from './tracing/index.js'
import type { OpenRequests } from './application/OpenRequests.js'

/** What one registration of the plugin is made of: handed to everything that serves its routes. */
export interface Runtime {
  readonly options: ResolvedOptions
  /** name of this process in the store */
  readonly instance: string
  readonly logger: FastifyBaseLogger
  readonly calls: Calls
  readonly correlator: Correlator
  readonly hooks: Hooks
  readonly handover: Handover
  /** actionHooks that have come and are not answered */
  readonly openHooks: OpenRequests
  readonly audioRoutes: AudioRoutes
  readonly sessions: Sessions
  readonly metrics: Metrics
  /** takes the metrics out of the option `registry` */
  readonly leaveRegistry: (() => void) | undefined
  /** undefined without @opentelemetry/api */
  readonly tracing: Tracing | undefined
  readonly recordings: Recordings | undefined
  /** whole paths of the hooks the application registered */
  readonly hookPaths: Set<string>
  /** whole path of the built-in audio route */
  readonly audioPath: string
  /** whole path of the built-in actionHook */
  readonly defaultHookPath: string
}
