import { randomBytes } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import type { ApiOptions } from './application/control/RestApi.js'
import type { CallStore } from './store/CallStore.js'
import { memoryStore } from './store/memory.js'
import { checkOptions, Milliseconds } from './model/checkOptions.js'
import { ERR_OPTIONS } from './model/errors.js'
import { Hmac } from './model/Hmac.js'
import type { MetricsRegistry } from './metrics/index.js'
import { RecordingOptionsSchema, type RecordingOptions } from './recording/index.js'
import { readPublicUrl, type PublicUrl } from './listening/ownUrl.js'
import { checkVerbs } from './verbs/check.js'
import { checkCredentials, type Credentials, type HandlerResult, type Platform } from './verbs/index.js'

const CredentialsSchema = (description: string) =>
  Type.Object(
    {
      username: Type.String(),
      password: Type.String()
    },
    { additionalProperties: false, description }
  )

const milliseconds = (description: string) => Type.Optional(Milliseconds(description))

const LimitsSchema = Type.Object(
  {
    maxStreams: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'live sockets of this instance; more are refused with 503. Default: no limit'
      })
    ),
    maxPayload: Type.Optional(
      Type.Integer({ minimum: 1024, description: 'bytes of one websocket message. Default: 2 MiB' })
    ),
    metadataTimeout: milliseconds("ms to wait for a socket's first frame. Default: 5,000"),
    heartbeat: Type.Optional(
      Milliseconds('ms between pings of a socket; one that answers none is lost. 0: none. Default: 30,000', 0)
    ),
    socketIdle: milliseconds(
      'ms without a message after which an application websocket is closed whose call has ended. Default: 60,000'
    ),
    maxBuffered: Type.Optional(
      Type.Integer({
        minimum: 1024,
        description: 'bytes kept for a slow reader of a stream before its socket is paused. Default: 2 MiB'
      })
    ),
    fastReader: Type.Optional(
      Type.Boolean({
        description:
          '`false` has ws read the audio, by its public API alone: slower, for the case that the fast reader, which uses internals of ws and Node, is suspected of a fault. Default: `true`'
      })
    )
  },
  { additionalProperties: false }
)

/** The options of `register`, as a user writes them. */
export const OptionsSchema = Type.Object(
  {
    auth: Type.Optional(
      CredentialsSchema(
        '`{ username, password }`: HTTP Basic on the audio socket, and `wsAuth` of every listen that has none. At most 89 bytes together. Default: none, or with `publicUrl` those of `webhookAuth`'
      )
    ),
    webhookAuth: Type.Optional(
      CredentialsSchema(
        '`{ username, password }`: HTTP Basic on the webhooks. jambonz sends them to sockets with a relative url, too, in place of `wsAuth`: both are accepted there. Default: none'
      )
    ),
    webhookSecret: Type.Optional(
      Type.Union(
        [Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })],
        {
          description:
            "the account's webhook secret: verifies `Jambonz-Signature` over the raw body; an array while one is rotated. Default: none"
        }
      )
    ),
    signatureTolerance: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, description: 'seconds a signature may be old. Default: 300' })
    ),
    secret: Type.Optional(
      Type.String({
        minLength: 16,
        description:
          "signs each listen's socket path, 16 characters or more; the same on all instances. Default: random per process"
      })
    ),
    audioPath: Type.Optional(
      Type.String({
        pattern: '^/[^?#*:]*[^/?#*:]$',
        description:
          'path of the built-in audio route, which records when `recording` is set, and otherwise counts. Default: `/audio`'
      })
    ),
    publicUrl: Type.Optional(
      Type.String({
        pattern: '^(https?|wss?)://[^?#]+$',
        description:
          'origin of this application as jambonz sees it: makes the socket urls absolute. Default: none, they are relative'
      })
    ),
    store: Type.Optional(
      Type.Unsafe<CallStore>(
        Type.Object(
          {},
          {
            additionalProperties: true,
            description:
              'where calls are kept: `memoryStore()`, `redisStore(client)` of `fastify-jambonz-listen/redis`, or a `CallStore` of your own. Default: memory'
          }
        )
      )
    ),
    callTtl: milliseconds('ms a call is kept after its last event. Default: 1 hour'),
    recording: Type.Optional(
      Type.Unsafe<RecordingOptions>({
        ...RecordingOptionsSchema,
        description: 'what is recorded, and where: see Recording. Default: off'
      })
    ),
    fallback: Type.Optional(
      Type.Unsafe<HandlerResult>(
        Type.Unknown({
          description:
            'verbs answered when a handler throws, so that the caller never meets silence. Default: none, a 500'
        })
      )
    ),
    api: Type.Optional(
      Type.Unsafe<ApiOptions>(
        Type.Object(
          {
            baseUrl: Type.String({ pattern: '^https?://[^?#]+$' }),
            accountSid: Type.String({ minLength: 1 }),
            token: Type.String({ minLength: 1 }),
            timeout: milliseconds('ms that a request may take. Default: 10,000')
          },
          {
            additionalProperties: false,
            description:
              "`{ baseUrl, accountSid, token, timeout? }` of jambonz' REST api: for `calls.create()`, and to command calls that jambonz asks for over HTTP. Default: none"
          }
        )
      )
    ),
    silenceLevel: Type.Optional(
      Type.Number({
        maximum: 0,
        description: "dBFS under which audio is silence, for a listen's `timeout`. Default: -50"
      })
    ),
    limits: Type.Optional(
      Type.Unsafe<Static<typeof LimitsSchema>>({ ...LimitsSchema, description: 'see Limits' })
    ),
    platform: Type.Optional(
      Type.Union([Type.Literal('0.9'), Type.Literal('11')], {
        description:
          'which jambonz gets the verbs: `0.9`, the open-source one, where a listen that it would ignore is an error; or `11`, which serves `stream` in `config`, `conference` and `room`. Default: `0.9`'
      })
    ),
    validation: Type.Optional(
      Type.Union([Type.Literal('strict'), Type.Literal('warn')], {
        description:
          "what happens to a verb that jambonz' published schemas refuse: `strict`, an error; `warn`, it is logged and sent, for a jambonz that is newer than they are. Default: `strict`"
      })
    ),
    strict: Type.Optional(
      Type.Boolean({
        description:
          '`false` also serves sockets on `audioPath` that no listen of this application asked for: calls set up elsewhere. Default: `true`'
      })
    ),
    registry: Type.Optional(
      Type.Unsafe<MetricsRegistry>(
        Type.Object(
          {},
          {
            additionalProperties: true,
            description:
              'a `Registry` of prom-client, such as its `register`: gets the metrics of this plugin, too. Default: none, they are in `fastify.jambonz.metrics()`'
          }
        )
      )
    ),
    // Fastify's own, on every register()
    prefix: Type.Optional(
      Type.String({
        description:
          "Fastify's own: what comes before `audioPath`, and before that what the scopes of the plugin have. The routes of `fastify.jambonz` have the prefix of the scope that registers them. Default: none"
      })
    ),
    logLevel: Type.Optional(Type.String()),
    logSerializers: Type.Optional(Type.Unknown())
  },
  { additionalProperties: false }
)

type Options = Omit<Static<typeof OptionsSchema>, 'logLevel' | 'logSerializers'>
/** An option may be `undefined`, as an environment variable may: also under `exactOptionalPropertyTypes`. */
export type JambonzListenOptions = { [Name in keyof Options]: Options[Name] | undefined }

/** The same, checked and complete: nothing after this knows a default. */
export interface ResolvedOptions {
  readonly auth: Credentials | undefined
  readonly webhookAuth: Credentials | undefined
  readonly webhookSecrets: readonly Hmac[]
  /** seconds */
  readonly signatureTolerance: number
  readonly secret: Hmac
  readonly audioPath: string
  readonly publicUrl: PublicUrl | undefined
  readonly store: CallStore
  /** ms */
  readonly callTtl: number
  readonly recording: RecordingOptions | undefined
  readonly fallback: HandlerResult
  readonly api: ApiOptions | undefined
  /** dBFS */
  readonly silenceLevel: number
  readonly limits: Limits
  readonly platform: Platform
  readonly validation: 'strict' | 'warn'
  readonly strict: boolean
  readonly registry: MetricsRegistry | undefined
  readonly prefix: string
}

export interface Limits {
  readonly maxStreams: number
  /** bytes */
  readonly maxPayload: number
  /** ms */
  readonly metadataTimeout: number
  /** ms */
  readonly heartbeat: number
  /** ms */
  readonly socketIdle: number
  /** bytes */
  readonly maxBuffered: number
  readonly fastReader: boolean
}

const MIB = 1024 * 1024

/** Checks the options of `register`. Throws FST_JAMBONZ_OPTIONS or FST_JAMBONZ_CREDENTIALS, naming option and value. */
export function resolveOptions(options: JambonzListenOptions): ResolvedOptions {
  check(options)
  const { auth, webhookAuth, webhookSecret = [], limits = {} } = options
  if (auth) checkCredentials('auth', auth)
  if (webhookAuth) checkCredentials('webhookAuth', webhookAuth)
  checkFallback(options.fallback)
  return Object.freeze({
    // jambonz sends the webhooks' credentials by itself only where a socket's url is relative.
    auth: auth ?? (options.publicUrl === undefined ? undefined : webhookAuth),
    webhookAuth,
    webhookSecrets: [webhookSecret].flat().map((secret) => new Hmac(secret)),
    signatureTolerance: options.signatureTolerance ?? 300,
    secret: new Hmac(options.secret ?? randomBytes(32)),
    audioPath: options.audioPath ?? '/audio',
    publicUrl: options.publicUrl === undefined ? undefined : readPublicUrl(options.publicUrl),
    store: options.store ?? memoryStore(),
    callTtl: options.callTtl ?? 3_600_000,
    recording: options.recording,
    fallback: options.fallback,
    api: options.api,
    silenceLevel: options.silenceLevel ?? -50,
    limits: Object.freeze({
      maxStreams: limits.maxStreams ?? Infinity,
      maxPayload: limits.maxPayload ?? 2 * MIB,
      metadataTimeout: limits.metadataTimeout ?? 5_000,
      heartbeat: limits.heartbeat ?? 30_000,
      socketIdle: limits.socketIdle ?? 60_000,
      maxBuffered: limits.maxBuffered ?? 2 * MIB,
      fastReader: limits.fastReader ?? true
    }),
    platform: options.platform ?? '0.9',
    validation: options.validation ?? 'strict',
    strict: options.strict ?? true,
    registry: options.registry,
    prefix: options.prefix ?? ''
  })
}

function check(options: JambonzListenOptions): void {
  checkOptions(OptionsSchema, options)
  checkStore(options.store)
  checkRegistry(options.registry)
}

const STORE_METHODS = ['start', 'get', 'list', 'write', 'waitFor', 'tell', 'health', 'close'] as const

function checkStore(store: CallStore | undefined): void {
  const missing = store && STORE_METHODS.find((method) => typeof store[method] !== 'function')
  if (missing) {
    throw new ERR_OPTIONS(`store: has no ${missing}(): pass memoryStore(), redisStore(client) or a CallStore`)
  }
}

function checkRegistry(registry: MetricsRegistry | undefined): void {
  if (registry && typeof registry.registerMetric !== 'function') {
    throw new ERR_OPTIONS(
      'registry: has no registerMetric(): pass a Registry of prom-client, such as its `register`'
    )
  }
}

/** An invalid one must not come to light when a handler has failed and the caller waits. */
function checkFallback(fallback: HandlerResult): void {
  try {
    checkVerbs(fallback)
  } catch (err) {
    throw new ERR_OPTIONS(`fallback: ${(err as Error).message}`)
  }
}
