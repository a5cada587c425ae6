import { randomBytes } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import type { CallStore } from './store/CallStore.js'
import { memoryStore } from './store/memory.js'
import {
  checkOptions,
  MIB,
  Milliseconds,
  MillisecondsOrNever,
  withDefault,
  withDefaults,
  type Resolved
} from './model/checkOptions.js'
import { ERR_OPTIONS } from './model/errors.js'
import { Hmac } from './model/tokens.js'
import type { MetricsRegistry } from './metrics/instruments.js'
import { RecordingOptionsSchema, type RecordingOptions } from './recording/options.js'
import { readPublicUrl, type PublicUrl } from './listening/ownUrls.js'
import { checkVerbs } from './verbs/prepare.js'
import { checkCredentials, type HandlerResult } from './verbs/index.js'

const CredentialsSchema = (description: string, unset?: string) =>
  Type.Object(
    {
      username: Type.String(),
      password: Type.String()
    },
    { additionalProperties: false, description, ...(unset !== undefined && { unset }) }
  )

const LimitsSchema = Type.Object(
  {
    maxStreams: withDefault(
      Type.Integer({
        minimum: 1,
        description: 'live sockets of this instance at most; further ones are refused with 503'
      }),
      Infinity
    ),
    maxPayload: withDefault(
      Type.Integer({ minimum: 1024, description: 'bytes of one websocket message at most' }),
      2 * MIB
    ),
    metadataTimeout: withDefault(Milliseconds('ms to wait for the first frame of a socket', 10), 5_000),
    heartbeat: withDefault(
      MillisecondsOrNever(
        'ms between pings of a socket; a socket that does not answer is lost. 0: no pings',
        100
      ),
      30_000
    ),
    socketIdle: withDefault(
      Milliseconds(
        'ms without a message after which the application websocket of an ended call is closed',
        100
      ),
      60_000
    ),
    maxBuffered: withDefault(
      Type.Integer({
        minimum: 1024,
        description: 'bytes buffered for a slow reader of a stream before its socket is paused'
      }),
      2 * MIB
    ),
    fastReader: withDefault(
      Type.Boolean({
        description:
          '`false`: ws reads the audio by its public API, which is slower. For use if you suspect a fault of the fast reader, which uses internals of ws and Node'
      }),
      true
    )
  },
  { additionalProperties: false, description: 'see Limits' }
)
export type Limits = Resolved<typeof LimitsSchema.properties>

/** The options of `register`. */
export const OptionsSchema = Type.Object(
  {
    auth: Type.Optional(
      CredentialsSchema(
        '`{ username, password }`: HTTP Basic credentials of the audio socket, and the `wsAuth` of every listen without one. At most 89 bytes together',
        'none; with `publicUrl`: `webhookAuth`'
      )
    ),
    webhookAuth: Type.Optional(
      CredentialsSchema(
        '`{ username, password }`: HTTP Basic credentials of the webhooks. jambonz also sends them to sockets with a relative url, in place of `wsAuth`: these accept both'
      )
    ),
    webhookSecret: Type.Optional(
      Type.Union(
        [Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })],
        {
          description:
            "the account's webhook secret, to verify the `Jambonz-Signature` of the raw body; an array during a rotation"
        }
      )
    ),
    signatureTolerance: withDefault(
      Type.Number({
        minimum: 1,
        maximum: 86_400,
        description: 'age of a signature, in seconds, at most; no more than a day'
      }),
      300
    ),
    secret: Type.Optional(
      Type.String({
        minLength: 16,
        description:
          'signs the socket path of each listen; at least 16 characters; the same on all instances',
        unset: 'random per process'
      })
    ),
    audioPath: withDefault(
      Type.String({
        pattern: '^/[^?#*:]*[^/?#*:]$',
        form: 'a path that begins with /, ends without one, and has no parameters, as in /audio',
        description:
          'path of the built-in audio route, which records if `recording` is set, and otherwise only counts'
      }),
      '/audio'
    ),
    publicUrl: Type.Optional(
      Type.String({
        pattern: '^(https?|wss?)://[^?#]+$',
        form: 'a url without a query, as in https://voice.example.com',
        description: 'public origin of this application, for absolute socket urls',
        unset: 'none: socket urls are relative'
      })
    ),
    store: Type.Optional(
      Type.Unsafe<CallStore>(
        Type.Object(
          {},
          {
            additionalProperties: true,
            description:
              'store of the calls: `memoryStore()`, `redisStore(client)` of `fastify-jambonz-listen/redis`, or a `CallStore` of your own',
            unset: '`memoryStore()`'
          }
        )
      )
    ),
    callTtl: withDefault(Milliseconds('ms that a call is kept after its last event', 100), 3_600_000),
    recording: Type.Optional(
      Type.Unsafe<RecordingOptions>({
        ...RecordingOptionsSchema,
        description: 'recording of the calls: see Recording',
        unset: 'none'
      })
    ),
    fallback: Type.Optional(
      Type.Unsafe<HandlerResult>(
        Type.Unknown({
          description: 'verbs to answer when a handler throws, so that the call goes on',
          unset: 'none: the answer is a 500'
        })
      )
    ),
    api: Type.Optional(
      Type.Object(
        {
          baseUrl: Type.String({
            pattern: '^https?://[^?#]+$',
            form: 'a url without a query, as in https://jambonz.example.com/v1'
          }),
          accountSid: Type.String({ minLength: 1 }),
          token: Type.String({ minLength: 1 }),
          timeout: withDefault(Milliseconds('ms that a request may take', 100), 10_000)
        },
        {
          additionalProperties: false,
          description:
            "`{ baseUrl, accountSid, token, timeout? }` of jambonz' REST api: for `calls.create()`, for commands to calls with HTTP webhooks, and to end one listen of such a call and leave the others alone"
        }
      )
    ),
    silenceLevel: withDefault(
      Type.Number({
        maximum: 0,
        description: "level, in dBFS, below which audio is silence, for a listen's `timeout`"
      }),
      -50
    ),
    limits: withDefault(LimitsSchema, {}),
    platform: withDefault(
      Type.Union([Type.Literal('0.9'), Type.Literal('11')], {
        description:
          'version of jambonz. `0.9`: open source; a listen that it would ignore is an error. `11`: `stream` in `config`, `conference` and `room` work'
      }),
      '0.9'
    ),
    validation: withDefault(
      Type.Union([Type.Literal('strict'), Type.Literal('warn')], {
        description:
          "treatment of a verb that jambonz' published schemas refuse. `strict`: an error. `warn`: it is logged and sent, for a newer jambonz"
      }),
      'strict'
    ),
    strict: withDefault(
      Type.Boolean({
        description:
          '`false`: also accept sockets on `audioPath` that no listen of this application asked for, of calls that others set up'
      }),
      true
    ),
    registry: Type.Optional(
      Type.Unsafe<MetricsRegistry>(
        Type.Object(
          {},
          {
            additionalProperties: true,
            description:
              'a `Registry` of prom-client, such as its `register`, that gets the metrics of this plugin',
            unset: 'none: they are in `fastify.jambonz.metrics()`'
          }
        )
      )
    ),
    // An option of Fastify's register().
    prefix: withDefault(
      Type.String({
        description:
          "prefix of `audioPath`, as in Fastify's `register()`, after the prefixes of the plugin's scopes. The routes of `fastify.jambonz` have the prefix of the scope that registers them"
      }),
      ''
    ),
    logLevel: Type.Optional(Type.String()),
    logSerializers: Type.Optional(Type.Unknown())
  },
  { additionalProperties: false }
)

type Options = Omit<Static<typeof OptionsSchema>, 'logLevel' | 'logSerializers'>
/**
 * The options of `register`. Each may be `undefined`, like an environment variable, even with
 * `exactOptionalPropertyTypes`.
 */
export type JambonzListenOptions = { [Name in keyof Options]: Options[Name] | undefined }

/** The checked options with their defaults. */
export interface ResolvedOptions extends Omit<
  Resolved<typeof OptionsSchema.properties>,
  'webhookSecret' | 'secret' | 'publicUrl' | 'store' | 'logLevel' | 'logSerializers'
> {
  readonly webhookSecrets: readonly Hmac[]
  readonly secret: Hmac
  readonly publicUrl: PublicUrl | undefined
  readonly store: CallStore
}

/** Checks the options of `register`, and adds the defaults. Throws FST_JAMBONZ_OPTIONS or FST_JAMBONZ_CREDENTIALS. */
export function resolveOptions(options: JambonzListenOptions): ResolvedOptions {
  check(options)
  const { logLevel: _, logSerializers: __, ...resolved } = withDefaults(OptionsSchema, options)
  const { auth, webhookAuth, webhookSecret = [], secret, publicUrl, store, fallback } = resolved
  if (auth) checkCredentials('auth', auth)
  if (webhookAuth) checkCredentials('webhookAuth', webhookAuth)
  checkFallback(fallback)
  return Object.freeze({
    ...resolved,
    // jambonz adds the webhooks' credentials to a socket only if its url is relative.
    auth: auth ?? (publicUrl === undefined ? undefined : webhookAuth),
    webhookSecrets: [webhookSecret].flat().map((secret) => new Hmac(secret)),
    secret: new Hmac(secret ?? randomBytes(32)),
    publicUrl: publicUrl === undefined ? undefined : readPublicUrl(publicUrl),
    store: store ?? memoryStore(),
    // lib/recording adds their defaults.
    recording: options.recording
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

/** Checks the fallback verbs now, since an error in them would else show only when a handler has failed. */
function checkFallback(fallback: HandlerResult): void {
  try {
    checkVerbs(fallback)
  } catch (err) {
    throw new ERR_OPTIONS(`fallback: ${(err as Error).message}`)
  }
}
