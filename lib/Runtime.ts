import type { FastifyBaseLogger } from 'fastify'
import type { WebSocketServer } from 'ws'
import type { Application } from './application/Application.js'
import type { LiveCalls } from './application/control/LiveCalls.js'
import type { LiveListenServices } from './listening/LiveListen.js'
import type { LiveListens } from './listening/LiveListens.js'
import type { Metrics } from './metrics/Metrics.js'
import type { ResolvedOptions } from './options.js'

/** The parts of one registration of the plugin, as its routes get them. */
export interface Runtime extends Application, LiveListenServices {
  readonly options: ResolvedOptions
  readonly logger: FastifyBaseLogger
  readonly calls: LiveCalls
  readonly liveListens: LiveListens
  readonly metrics: Metrics
  /** opens the audio sockets: their settings are ours, whatever the application's own have */
  readonly audioServer: WebSocketServer
  /** takes the metrics out of the option `registry` */
  readonly leaveRegistry: (() => void) | undefined
}
