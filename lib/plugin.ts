import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { WebSocketServer } from 'ws'
import { registerActionHook } from '../routes/actionHook.js'
import { registerWebhook } from '../routes/webhook.js'
import { registerAudio, SUBPROTOCOLS } from '../routes/audio.js'
import { AudioRoutes } from './listening/AudioRoutes.js'
import { LiveListens } from './listening/LiveListens.js'
import { audioPathOf, joinPath } from './listening/ownUrls.js'
import { registerWebsocket } from './listening/upgrades.js'
import { CallChannel } from './application/control/CallChannel.js'
import { ListenEnds, statusOfEnd } from './application/control/ListenEnds.js'
import { LiveCalls } from './application/control/LiveCalls.js'
import { RestApi } from './application/control/RestApi.js'
import { Replays } from './application/answer.js'
import { ApplicationSockets } from './application/websocket/ApplicationSockets.js'
import { addSocketConstraint } from '../routes/applicationSocket.js'
import { Correlation } from './correlation/Correlation.js'
import { recorded } from './correlation/recorded.js'
import { newCall } from './model/callWrite.js'
import { ERR_REGISTERED } from './model/errors.js'
import type { Call, Listen, StoredCall } from './model/schema.js'
import { withinMs } from './model/time.js'
import { seal, unseal } from './model/tokens.js'
import { Jambonz, type Runtime } from './Jambonz.js'
import { joinRegistry } from './metrics/instruments.js'
import { Metrics } from './metrics/Metrics.js'
import { resolveOptions, type JambonzListenOptions, type ResolvedOptions } from './options.js'
import { createRecordings } from './recording/Recordings.js'
import { loadTracing } from './tracing/OpenTelemetry.js'
import { prepareVerbs, type HandlerResult } from './verbs/index.js'
import { JambonzRoutes, keepMessagesOut } from './application/hookUrls.js'
import { OpenRequests } from './application/observeRequests.js'
import { decorateRequests } from './application/request.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The jambonz application of this instance (fastify-jambonz-listen). */
    readonly jambonz: Jambonz
  }
  interface FastifyRequest {
    /** The call of a jambonz request; undefined on other routes. */
    call?: Call
    /** The finished listen of an actionHook; undefined on other routes. */
    listen?: Listen
  }
}

/** ms that `fastify.close()` gives the application websockets to close before it ends the streams */
const SOCKETS_FIRST = 1_000
/** the part of Fastify's `pluginTimeout` that a preClose hook of the plugin takes at most */
const PRE_CLOSE_PART = 0.8

/**
 * The plugin. It decorates Fastify with `jambonz`, whose `webhook()`, `audio()` and `actionHook()` add the
 * routes of a jambonz application. It finds the call of each request by its callSid.
 */
export const jambonzListen = fp<JambonzListenOptions>(
  async (fastify, opts) => {
    if (runtimes.has(fastify)) throw new ERR_REGISTERED(fastify.prefix && ` (${fastify.prefix})`)
    const options = resolveOptions(opts)
    warnOfOpenWebhooks(fastify, opts)
    warnOfHttp2(fastify)
    addSocketConstraint(fastify)
    const runtime = await createRuntime(fastify, options)

    decorate(fastify, runtime)
    keepMessagesOut(fastify)

    let drained: Promise<void> | undefined
    // This has to run before the preClose of @fastify/websocket, which closes every socket at once.
    fastify.addHook('preClose', async () => {
      drained = drainToClose(runtime)
      await withinMs(preClosePatience(fastify), drained)
    })
    fastify.addHook('onClose', async () => {
      await drained
      await runtime.recordings?.close()
      await options.store.close()
      runtime.leaveRegistry?.()
    })

    await registerWebsocket(fastify)
    await fastify.register(
      async function jambonzBuiltIn(scope) {
        registerAudio(scope, runtime, options.audioPath, {
          path: runtime.audioPath,
          record: true,
          output: true,
          paced: false,
          handler: undefined
        })
        registerActionHook(scope, runtime, hookPath(options.audioPath), {}, () => [])
        // The route from which jambonz fetches the verbs of calls.redirect() for a call over HTTP.
        if (options.api) {
          registerWebhook(scope, runtime, commandedPath(options.audioPath), {}, ({ call }) => {
            const { callSid, commanded } = call as StoredCall
            const verbs = commanded && unseal(options.secret, aboutCommanded(callSid), commanded)
            return verbs === undefined ? [] : (JSON.parse(verbs) as HandlerResult)
          })
          registerWebhook(scope, runtime, endPath(options.audioPath), {}, ({ call, query }, reply) => {
            reply.code(statusOfEnd(call, (query as { listen?: unknown }).listen)).send()
          })
        }
      },
      { prefix: options.prefix }
    )

    fastify.addHook('onReady', async () => {
      await runtime.recordings?.recover((listen, recording) => {
        recorded(runtime.correlation.store, listen, recording).catch((err: unknown) => {
          runtime.logger.error(
            { err, callSid: listen.callSid, listenId: listen.id },
            'a recovered recording could not be written to the store'
          )
        })
        runtime.correlation.tellRecording(recording, listen)
      })
    })
  },
  { name: 'fastify-jambonz-listen', fastify: '5.x' }
)

/**
 * The registrations of the plugin, by scope (`runtimes`), and the `fastify.jambonz` of each scope (`views`).
 */
const runtimes = new WeakMap<object, Runtime>()
const views = new WeakMap<FastifyInstance, { runtime: Runtime; jambonz: Jambonz }>()

/**
 * Gives the scope, and the scopes inside it, `fastify.jambonz` and the properties of requests. A registration
 * in an inner scope hides the registration of the outer scope, but uses the decorators of the outer scope.
 */
/** Ends the websockets of this instance. Resolves when their recordings are complete. */
async function drainToClose({ sockets, liveListens }: Runtime): Promise<void> {
  // Fastify refuses all requests by now. So jambonz must lose its application websocket before its listen ends:
  // then it sends the actionHook of this listen to another instance.
  const left = sockets.drain()
  await withinMs(SOCKETS_FIRST, left)
  await liveListens.drain({ timeoutMs: 0, handover: false, hookPatience: 0, answered: async () => {} })
  await left
}

/**
 * Returns the ms that a preClose hook may take. Fastify lets close() fail if one takes as long as `pluginTimeout`, and a
 * slow disk or sink may need longer. An onClose hook has no such limit.
 */
function preClosePatience({ initialConfig: { pluginTimeout = 0 } }: FastifyInstance): number {
  return pluginTimeout > 0 ? pluginTimeout * PRE_CLOSE_PART : Infinity
}

function decorate(fastify: FastifyInstance, runtime: Runtime): void {
  const isInner = runtimeOf(fastify) !== undefined
  runtimes.set(fastify, runtime)
  if (isInner) return
  fastify.decorate('jambonz', {
    getter() {
      const nearest = runtimeOf(this) ?? runtime
      const known = views.get(this)
      if (known?.runtime === nearest) return known.jambonz
      const jambonz = new Jambonz(this, nearest)
      views.set(this, { runtime: nearest, jambonz })
      return jambonz
    }
  })
  decorateRequests(fastify)
}

/**
 * Returns the registration of the innermost scope around an instance that has one. A scope inherits from the
 * scope around it.
 */
function runtimeOf(instance: FastifyInstance): Runtime | undefined {
  for (
    let scope: object | null = instance;
    scope !== null;
    scope = Object.getPrototypeOf(scope) as object | null
  ) {
    const runtime = runtimes.get(scope)
    if (runtime !== undefined) return runtime
  }
  return undefined
}

async function createRuntime(fastify: FastifyInstance, options: ResolvedOptions): Promise<Runtime> {
  const prefix = await wholePrefix(fastify, options.prefix)
  const logger = fastify.log
  const instance = `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`
  const { store, callTtl, recording, secret, auth, registry } = options
  const liveListens = new LiveListens(store, logger)
  const routes = new JambonzRoutes(fastify)
  const correlation = new Correlation({
    store,
    secret,
    instance,
    logger,
    auth,
    readToEnd: (listenId) => liveListens.readToEnd(listenId),
    handOver: (listenIds) => liveListens.handOver(listenIds),
    told: (message) => calls.told(message)
  })
  const calls = new LiveCalls(correlation)
  const recordings = recording && createRecordings(recording, { logger, instance })
  const metrics = new Metrics({
    calls,
    liveListens,
    recordings,
    applicationSockets: (): number => sockets.size
  })
  const leaveRegistry = registry && joinRegistry(registry, metrics.instruments)
  const tracing = await loadTracing()
  // The store starts last, so that a wrong option leaves no connection open.
  await correlation.start(callTtl)
  const base = {
    options,
    instance,
    issuer: correlation.issuer,
    logger,
    calls,
    liveListens,
    correlation,
    openHooks: new OpenRequests(),
    metrics,
    leaveRegistry,
    tracing,
    audioRoutes: new AudioRoutes(fastify),
    audioServer: createAudioServer(options),
    recordings,
    routes,
    warned: new Set<string>(),
    replays: new Replays(),
    audioPath: joinPath(prefix, options.audioPath),
    defaultHookPath: joinPath(prefix, hookPath(options.audioPath)),
    endAlone: ((live, reason) => ends.endAlone(live, reason)) satisfies Runtime['endAlone']
  }
  const sockets: ApplicationSockets = new ApplicationSockets(fastify, base, options.limits)
  const channel = new CallChannel({ store, sockets, instance, secret, logger })
  sockets.useChannel(channel)
  const api = options.api && new RestApi(options.api)
  const { publicUrl, audioPath, platform } = options
  const urlOf = (path: string): string => (publicUrl?.path ?? '') + joinPath(prefix, path)
  const endUrl = (listenId: string): string =>
    `${urlOf(endPath(audioPath))}?listen=${encodeURIComponent(listenId)}`
  const ends: ListenEnds = new ListenEnds({ store, platform, channel, api, endUrl, logger })
  calls.useControl({
    platform,
    channel,
    api,
    keepVerbs: async (callSid, verbs) => {
      checkLater(base, prefix, callSid, verbs)
      const commanded = seal(secret, aboutCommanded(callSid), JSON.stringify(verbs))
      await correlation.arrived(callSid, { commanded })
      return urlOf(commandedPath(audioPath))
    },
    urlOf: (path) => publicUrl && publicUrl.href.replace(/^ws/, 'http') + routes.wholePath(path, prefix)
  })
  return { ...base, sockets }
}

/**
 * Checks verbs that jambonz fetches later. Throws the errors of a handler that answers with these verbs in the scope with
 * this prefix. With `validation: 'warn'`, what jambonz' schemas refuse is logged when jambonz fetches the verbs.
 */
function checkLater(
  own: Pick<Runtime, 'options' | 'audioRoutes' | 'audioPath'>,
  prefix: string,
  callSid: string,
  verbs: HandlerResult
): void {
  const { platform, validation, auth } = own.options
  prepareVerbs(verbs, {
    call: newCall(callSid),
    listenId: String,
    audioUrl: (url = own.audioPath) => {
      const path = audioPathOf(own, url, prefix)
      return path === undefined ? undefined : { path, url: path }
    },
    hookUrl: (url = '') => ({ url, isOurs: true }),
    defaultActionHook: false,
    platform,
    ...(validation === 'warn' && { warn: () => {} }),
    ...(auth && { auth })
  })
}

/** Logs a warning if `webhookSecret` was given, and is undefined. */
function warnOfOpenWebhooks({ log }: FastifyInstance, options: JambonzListenOptions): void {
  if ('webhookSecret' in options && options.webhookSecret === undefined) {
    log.warn(
      'the option webhookSecret is undefined: no signature is checked, and whoever knows the urls may call them. Set the variable it comes from, or leave the option out'
    )
  }
}

/** Logs a warning if the server accepts no HTTP/1.1, the version that jambonz speaks. */
function warnOfHttp2({ log, initialConfig: { http2, https } }: FastifyInstance): void {
  if (http2 !== true || (typeof https === 'object' && https.allowHTTP1 === true)) return
  log.warn(
    'the server speaks HTTP/2 only, but jambonz needs HTTP/1.1 for webhooks and audio sockets: set https: { allowHTTP1: true, … }, or leave http2 out'
  )
}

/** Resolves to the whole prefix of a scope with `prefix`, which begins with the prefixes of its parents. */
async function wholePrefix(fastify: FastifyInstance, prefix: string): Promise<string> {
  let whole = ''
  await fastify.register(
    async function jambonzPrefix(scope) {
      whole = scope.prefix
    },
    { prefix }
  )
  return whole
}

function createAudioServer({ limits: { maxPayload } }: ResolvedOptions): WebSocketServer {
  return new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload,
    // A caller's name may be Latin-1, which mod_audio_fork does not convert. Such a name must not end the
    // socket.
    skipUTF8Validation: true,
    handleProtocols: (asked) => [...asked].find((name) => SUBPROTOCOLS.has(name)) ?? false
  })
}

function aboutCommanded(callSid: string): string {
  return `commanded\n${callSid}`
}

function commandedPath(audioPath: string): string {
  return `${audioPath}/commanded`
}

function endPath(audioPath: string): string {
  return `${audioPath}/end`
}

function hookPath(audioPath: string): string {
  return `${audioPath}/ended`
}
