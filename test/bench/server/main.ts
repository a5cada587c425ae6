import { monitorEventLoopDelay } from 'node:perf_hooks'
import { answerParent } from '../harness/rpc.js'
import { serveBareEcho, serveBareWs } from './bareWs.js'
import { serveFastifyWebsocket, serveSdk } from './perMessage.js'
import { servePlugin } from './plugin.js'
import type { RecordedFile, Serve, Served, ServerName, ServerOptions } from './types.js'
import { serveBareRoute, serveExpress, serveExpressValidating, serveSignedRoute } from './webhooks.js'

const SERVERS: Record<ServerName, Serve> = {
  bare: serveBareWs,
  bareEcho: serveBareEcho,
  sdk: serveSdk,
  perMessage: serveFastifyWebsocket,
  plugin: servePlugin,
  bareRoute: serveBareRoute,
  signedRoute: serveSignedRoute,
  express: serveExpress,
  expressValidating: serveExpressValidating
}

/** ms between two looks at the event loop */
const RESOLUTION = 10

export interface Usage {
  /** µs of all threads since the start */
  cpu: number
  /** the part of it that was in the kernel */
  system: number
  /** ms of performance.now() */
  at: number
  /** bytes */
  rss: number
  heap: number
  heapTotal: number
  /** buffers included */
  external: number
  /** ms since the last `resetDelay` */
  delayP99: number
}

const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
let served: Served | undefined

const methods = {
  async serve (options: ServerOptions): Promise<number> {
    served = await SERVERS[options.name](options)
    return served.port
  },

  usage (): Usage {
    const { user, system } = process.cpuUsage()
    const { rss, heapUsed, heapTotal, external } = process.memoryUsage()
    return { cpu: user + system, system, at: performance.now(), rss, heap: heapUsed, heapTotal, external, delayP99: Math.max(0, delay.percentile(99) / 1e6 - RESOLUTION) }
  },

  collectGarbage (): void {
    for (let i = 0; i < 3; i++) globalThis.gc?.()
  },

  resetDelay (): void {
    delay.enable()
    delay.reset()
  },

  async recordings (): Promise<RecordedFile[]> {
    return await served?.recordings?.() ?? []
  }
}
export type ServerMethods = typeof methods

answerParent(methods)
