import type { FastifyBaseLogger } from 'fastify'
import type { Correlation } from '../correlation/Correlation.js'
import type { PublicUrl, OwnAddress } from '../listening/ownUrls.js'
import type { CallStore } from '../store/CallStore.js'
import type { Hmac } from '../model/tokens.js'
import type { Tracing } from '../listening/tracing.js'
import type { Credentials } from '../model/credentials.js'
import type { HandlerResult, Platform } from '../verbs/index.js'
import type { JambonzRoutes } from './hookUrls.js'
import type { Replays } from './answer.js'
import type { RequestMetrics, OpenRequests } from './observeRequests.js'
import type { ApplicationSockets } from './websocket/ApplicationSockets.js'

/** The parts of the plugin that the routes of jambonz' requests use. The plugin creates it. */
export interface Application extends OwnAddress {
  readonly options: ApplicationOptions
  readonly logger: FastifyBaseLogger
  readonly correlation: Correlation
  /** actionHooks that are not answered yet */
  readonly openHooks: OpenRequests
  readonly metrics: RequestMetrics
  /** undefined if tracing is off */
  readonly tracing: Tracing | undefined
  readonly routes: JambonzRoutes
  readonly sockets: ApplicationSockets
  /**
   * `add()` gets the id of each listen in an answer, since this instance then expects the socket of the
   * listen
   */
  readonly liveListens: { readonly expected: { add(listenId: string): void } }
  /** mistakes that were logged already, so that each is logged once */
  readonly warned: Set<string>
  /** signed requests that came again after their listens had begun */
  readonly replays: Replays
  /** whole path of the built-in actionHook */
  readonly defaultHookPath: string
}

/** The options of the plugin that concern requests of jambonz and their answers. */
export interface ApplicationOptions {
  /** Basic credentials of the audio socket */
  readonly auth: Credentials | undefined
  /** Basic credentials of webhooks and hooks */
  readonly webhookAuth: Credentials | undefined
  /** accepted secrets; if the list is empty, signatures are not checked */
  readonly webhookSecrets: readonly Hmac[]
  /** seconds by which the time in a signature may be off */
  readonly signatureTolerance: number
  readonly platform: Platform
  readonly validation: 'strict' | 'warn'
  /** verbs to answer if a handler fails; if undefined, an error is answered */
  readonly fallback: HandlerResult
  readonly store: CallStore
  /** signs ids and socket paths */
  readonly secret: Hmac
  readonly publicUrl: PublicUrl | undefined
}
