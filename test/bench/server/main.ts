import { answerParent } from '../harness/rpc.js'
import { serveBareEcho, serveBareWs } from './bareWs.js'
import { serveCluster } from './cluster.js'
import { serveFastifyWebsocket, serveSdk } from './perMessage.js'
import { servePlugin, servePluginUnsigned } from './plugin.js'
import type { RecordedFile, Serve, Served, ServerName, ServerOptions } from './types.js'
import { resetDelay, usage, type Usage } from './usage.js'
import {
  serveBareRoute,
  serveExpress,
  serveExpressValidating,
  serveSignedRoute,
  serveWebhookCall,
  serveWebhookHooks,
  serveWebhookListen,
  serveWebhookVerb
} from './webhooks.js'

const SERVERS: Record<ServerName, Serve> = {
  bare: serveBareWs,
  bareEcho: serveBareEcho,
  sdk: serveSdk,
  perMessage: serveFastifyWebsocket,
  plugin: servePlugin,
  pluginUnsigned: servePluginUnsigned,
  cluster: serveCluster,
  webhookHooks: serveWebhookHooks,
  webhookCall: serveWebhookCall,
  webhookVerb: serveWebhookVerb,
  webhookListen: serveWebhookListen,
  bareRoute: serveBareRoute,
  signedRoute: serveSignedRoute,
  express: serveExpress,
  expressValidating: serveExpressValidating
}

let served: Served | undefined

const methods = {
  async serve(options: ServerOptions): Promise<number> {
    served = await SERVERS[options.name](options)
    return served.port
  },

  async usage(): Promise<Usage> {
    return (await served?.usage?.()) ?? usage()
  },

  collectGarbage(): void {
    for (let i = 0; i < 3; i++) globalThis.gc?.()
  },

  resetDelay,

  async recordings(): Promise<RecordedFile[]> {
    return (await served?.recordings?.()) ?? []
  }
}
export type ServerMethods = typeof methods

answerParent(methods)
