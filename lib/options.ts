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
  type OrUndefined,
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
        description:
          'the most audio sockets that one instance has open at a time; it refuses further sockets with status 503'
      }),
      Infinity
    ),
    maxPayload: withDefault(
      Type.Integer({ minimum: 1024, description: 'bytes that one websocket message may have, at most' }),
      2 * MIB
    ),
    metadataTimeout: withDefault(
      Milliseconds('ms that the plugin waits for the first frame of an audio socket', 10),
      5_000
    ),
    heartbeat: withDefault(
      MillisecondsOrNever(
        'ms between two pings of an audio socket. If a socket does not answer a ping, its listen ends as `lost`. 0: no pings',
        100
      ),
      30_000
    ),
    socketIdle: withDefault(
      Milliseconds(
        'ms without a message after which the plugin closes the application websocket of an ended call',
        100
      ),
      60_000
    ),
    maxBuffered: withDefault(
      Type.Integer({
        minimum: 1024,
        description:
          'bytes of audio that the plugin buffers for a slow reader of a stream before it pauses the socket of the stream'
      }),
      2 * MIB
    ),
    fastReader: withDefault(
      Type.Boolean({
        description:
          "`true`: the plugin reads audio sockets itself, with internals of ws and Node. `false`: ws reads the audio sockets, which is slower. Set `false` if you suspect a fault of the plugin's reader"
      }),
      true
    )
  },
  { additionalProperties: false, description: 'see [Limits](#limits)' }
)
export type Limits = Resolved<typeof LimitsSchema.properties>

/** The options of `register`. */
export const OptionsSchema = Type.Object(
  {
    auth: Type.Optional(
      CredentialsSchema(
        '`{ username, password }`: HTTP Basic credentials of the audio sockets. A listen verb without a `wsAuth` of its own gets these. Username and password may have at most 89 bytes together',
        'none; if `publicUrl` is set: the value of `webhookAuth`'
      )
    ),
    webhookAuth: Type.Optional(
      CredentialsSchema(
        '`{ username, password }`: HTTP Basic credentials of webhooks and hooks. If the url of an audio socket is relative, jambonz sends these credentials to the socket in place of `wsAuth`, so the socket accepts these credentials and its `wsAuth`'
      )
    ),
    webhookSecret: Type.Optional(
      Type.Union(
        [Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })],
        {
          description:
            'the webhook secret of your jambonz account. The plugin uses it to verify the `Jambonz-Signature` of each webhook and hook. While you change the secret: an array of the new and the old secret'
        }
      )
    ),
    signatureTolerance: withDefault(
      Type.Number({
        minimum: 1,
        maximum: 86_400,
        description: 'the greatest age of a signature that the plugin accepts, in seconds; at most a day'
      }),
      300
    ),
    secret: Type.Optional(
      Type.String({
        minLength: 16,
        description:
          'the key with which the plugin signs the socket path of each listen; at least 16 characters. All instances need the same `secret`',
        unset: 'random for each process'
      })
    ),
    audioPath: withDefault(
      Type.String({
        pattern: '^/[^?#*:]*[^/?#*:]$',
        form: 'a path that begins with /, ends without one, and has no parameters, as in /audio',
        description:
          'path of the built-in audio route. This route records each stream if `recording` is set; if not, it only counts the audio'
      }),
      '/audio'
    ),
    publicUrl: Type.Optional(
      Type.String({
        pattern: '^(https?|wss?)://[^?#]+$',
        form: 'a url without a query, as in https://voice.example.com',
        description: 'public url of this application; with it, the socket urls in listen verbs are absolute',
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
              'the store that keeps the state of the calls: `memoryStore()`, `redisStore(client)` of `fastify-jambonz-listen/redis`, or a `CallStore` of your own',
            unset: '`memoryStore()`'
          }
        )
      )
    ),
    callTtl: withDefault(Milliseconds('ms that the store keeps a call after its last event', 100), 3_600_000),
    recording: Type.Optional(
      Type.Unsafe<RecordingOptions>({
        ...RecordingOptionsSchema,
        description:
          "how calls are recorded, as in `{ directory: 'recordings' }`: see [Recording](#recording)",
        unset: 'none'
      })
    ),
    fallback: Type.Optional(
      Type.Unsafe<HandlerResult>(
        Type.Unknown({
          description: 'the verbs that the plugin answers when a handler throws, so that the call goes on',
          unset: 'none: the answer has status 500'
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
            "`{ baseUrl, accountSid, token, timeout? }` of jambonz' REST api. `calls.create()` needs it. For a call that jambonz asks about over HTTP, the plugin also needs it to send commands, and to end one listen without the others"
        }
      )
    ),
    silenceLevel: withDefault(
      Type.Number({
        maximum: 0,
        description: 'audio below this level, in dBFS, counts as silence for the `timeout` of a listen'
      }),
      -50
    ),
    limits: withDefault(LimitsSchema, {}),
    platform: withDefault(
      Type.Union([Type.Literal('0.9'), Type.Literal('11')], {
        description:
          'version of jambonz. `0.9`: the open-source version; a listen verb in a place that jambonz 0.9 ignores is an error. `11`: `stream` also works in `config`, `conference` and `room`'
      }),
      '0.9'
    ),
    validation: withDefault(
      Type.Union([Type.Literal('strict'), Type.Literal('warn')], {
        description:
          "what the plugin does with a verb that does not match jambonz' published schemas. `strict`: it throws an error. `warn`: it logs the verb and sends it, for a newer jambonz that accepts the verb"
      }),
      'strict'
    ),
    strict: withDefault(
      Type.Boolean({
        description:
          '`true`: the plugin accepts only the audio sockets of its own listen verbs. `false`: it also accepts sockets on `audioPath` that another application, or an account setting, asked for'
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
              'a `Registry` of prom-client, such as its `register`, to which the plugin adds its metrics',
            unset: 'none: `fastify.jambonz.metrics()` returns the metrics'
          }
        )
      )
    ),
    // An option of Fastify's register().
    prefix: withDefault(
      Type.String({
        description:
          "prefix of `audioPath`, as in Fastify's `register()`; it follows the prefixes of the scopes around the plugin. It does not apply to the routes that you register with `fastify.jambonz`: they get the prefix of their own scope"
      }),
      ''
    ),
    logLevel: Type.Optional(Type.String()),
    logSerializers: Type.Optional(Type.Unknown())
  },
  { additionalProperties: false }
)

type Options = Omit<Static<typeof OptionsSchema>, 'logLevel' | 'logSerializers'>
/** Options that have options. */
type Groups = 'api' | 'limits' | 'recording'
type OwnOptions = Omit<Options, 'prefix' | Groups> & OrUndefined<Pick<Options, Groups>>
/**
 * The options of `register`. Each option of the plugin may be `undefined`, like an environment variable, even with
 * `exactOptionalPropertyTypes`. Fastify's `prefix` may not, since `register` would then refuse a variable of this type.
 */
export type JambonzListenOptions = { [Name in keyof OwnOptions]: OwnOptions[Name] | undefined } & Pick<
  Options,
  'prefix'
>

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
    // Without `publicUrl`, socket urls are relative, and jambonz adds the webhooks' credentials to such
    // sockets.
    auth: auth ?? (publicUrl === undefined ? undefined : webhookAuth),
    webhookSecrets: [webhookSecret].flat().map((secret) => new Hmac(secret)),
    secret: new Hmac(secret ?? randomBytes(32)),
    publicUrl: publicUrl === undefined ? undefined : readPublicUrl(publicUrl),
    store: store ?? memoryStore(),
    // lib/recording adds the defaults of these options.
    recording: options.recording
  })
}

function check(options: JambonzListenOptions): void {
  const { store }: { store?: unknown } = { ...options }
  if (typeof store === 'function') {
    throw new ERR_OPTIONS(
      `store: is a function, not a store: call it, as in store: ${store.name || 'memoryStore'}()`
    )
  }
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

/**
 * Checks the fallback verbs now, since an error in them would otherwise show only when a handler has failed.
 */
function checkFallback(fallback: HandlerResult): void {
  try {
    checkVerbs(fallback)
  } catch (err) {
    throw new ERR_OPTIONS(`fallback: ${(err as Error).message}`)
  }
}
