import { Type, type Static, type TObject, type TProperties } from '@sinclair/typebox'
import type { OrUndefined } from '../model/checkOptions.js'
import { MixTypeSchema } from '../model/schema.js'
import type { TranscribeProperties } from './jambonzVerbs.js'

/** Sample rates, Hz, that jambonz documents for a listen. */
export const SAMPLE_RATES = [8_000, 16_000, 24_000, 48_000, 64_000] as const

/** Sample rates, Hz, of audio that the application may send back (mod_audio_fork). */
export const BIDIRECTIONAL_SAMPLE_RATES = [8_000, 16_000, 24_000, 32_000, 48_000, 64_000] as const

/** Longest `maxLength` and `timeout`, seconds, since a longer timer of Node.js fires at once. */
export const MAX_SECONDS = 2_147_483

const Seconds = (description: string, unset: string) =>
  Type.Number({ minimum: 0, maximum: MAX_SECONDS, description, unset })

const CredentialsSchema = (description: string, unset?: string) =>
  Type.Object(
    {
      username: Type.String({ description: 'without a colon' }),
      password: Type.String({ description: 'username and password together: at most 89 bytes of UTF-8' })
    },
    { additionalProperties: false, description, ...(unset !== undefined && { unset }) }
  )

export const ActionHookSchema = Type.Union([
  Type.String(),
  Type.Object(
    {
      url: Type.String(),
      method: Type.Optional(Type.Union([Type.Literal('GET'), Type.Literal('POST')], { default: 'POST' })),
      username: Type.Optional(
        Type.String({
          description:
            'HTTP Basic credentials of the hook. jambonz 0.9 uses them only for an http(s) url, in an application over websocket. Over HTTP, each hook gets the credentials of the application (feature-server lib/utils/http-requestor.js)'
        })
      ),
      password: Type.Optional(Type.String()),
      basicAuth: Type.Optional(
        CredentialsSchema(
          'HTTP Basic credentials of the hook, as jambonz documents them. jambonz 0.9 does not use them'
        )
      )
    },
    // jambonz accepts other properties, such as the `webhook_sid` of its portal.
    { additionalProperties: true }
  )
])
export type ActionHook = Static<typeof ActionHookSchema>

export const BidirectionalAudioSchema = Type.Object(
  {
    enabled: Type.Optional(
      Type.Boolean({ default: true, description: '`true`: audio may be sent back to the caller' })
    ),
    streaming: Type.Optional(
      Type.Boolean({
        default: false,
        description: '`true`: `write()` streams raw audio; `false`: `play()` plays whole files'
      })
    ),
    sampleRate: Type.Optional(
      Type.Union(
        BIDIRECTIONAL_SAMPLE_RATES.map((rate) => Type.Literal(rate)),
        { description: 'Hz of the audio sent back when streaming', unset: '`sampleRate` of the verb' }
      )
    )
  },
  { additionalProperties: false }
)

/**
 * The properties of a `listen` in `config`, in which jambonz refuses all others (`@jambonz/verb-specifications`,
 * listenOptions).
 */
const background = {
  url: Type.Optional(
    Type.String({
      description:
        'where jambonz sends the audio: the path or the absolute url of an audio route of this plugin, or any other `ws://` or `wss://` url',
      unset: 'the built-in audio route (`audioPath`)'
    })
  ),
  mixType: Type.Optional(
    Type.Unsafe<Static<typeof MixTypeSchema>>({
      ...MixTypeSchema,
      default: 'mono',
      description:
        '`mono`: only the caller; `stereo`: the caller left, the callee right; `mixed`: caller and callee in one channel'
    })
  ),
  sampleRate: Type.Optional(
    Type.Union(
      SAMPLE_RATES.map((rate) => Type.Literal(rate)),
      { default: 8_000, description: 'Hz of the audio received: 8000, 16000, 24000, 48000 or 64000' }
    )
  ),
  maxLength: Type.Optional(
    Seconds('the listen ends after this many seconds of audio', 'no limit; 0 means the same')
  ),
  timeout: Type.Optional(
    Seconds(
      'the listen ends after this many seconds of silence. jambonz does not carry this option out, so the plugin does, and sets `passDtmf`, because a key also counts as sound',
      'none; 0 means the same'
    )
  ),
  finishOnKey: Type.Optional(
    Type.String({
      pattern: '^[0-9*#A-D]*$',
      maxLength: 16,
      description:
        'the keys that end the listen (0-9, *, #, A-D). With `*#`, either of the two keys ends it. jambonz supports only a single key. For several keys the plugin ends the listen, and sets `passDtmf`',
      unset: 'none; `""` means the same'
    })
  ),
  playBeep: Type.Optional(
    Type.Boolean({
      default: false,
      description: '`true`: the caller hears a beep of 500 ms before the audio starts'
    })
  ),
  passDtmf: Type.Optional(
    Type.Boolean({
      default: false,
      description: '`true`: the stream emits `dtmf` for each key that the caller presses'
    })
  ),
  metadata: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), {
      description:
        'your own data, which `stream.metadata` returns: at most 4096 bytes of JSON, without the names of call attributes (`callSid`, `from`…)'
    })
  ),
  wsAuth: Type.Optional(
    CredentialsSchema('HTTP Basic credentials of the audio socket', "the plugin's option `auth`")
  ),
  bidirectionalAudio: Type.Optional(
    Type.Unsafe<Static<typeof BidirectionalAudioSchema>>({
      ...BidirectionalAudioSchema,
      description:
        'whether the application may send audio to the caller, and how: `write()` streams audio if `streaming` is true, `play()` plays files if it is false',
      unset:
        '`{ enabled: true, streaming: false }`. In `config` it is `{ enabled: false }`, because jambonz plays a file once for each listen of the call that accepts files'
    })
  ),
  disableBidirectionalAudio: Type.Optional(
    Type.Boolean({
      default: false,
      description: 'older spelling of `bidirectionalAudio: { enabled: false }`'
    })
  )
}

const foreground = {
  actionHook: Type.Optional(
    Type.Unsafe<ActionHook>({
      ...ActionHookSchema,
      description:
        'the hook that jambonz calls when the listen has ended: a path, a url, or `{ url, method }`. jambonz 0.9 calls each hook with the HTTP Basic credentials of the application, and ignores those of the hook',
      unset: 'a built-in hook, after which jambonz runs the next verb'
    })
  ),
  ...background,
  transcribe: Type.Optional(
    Type.Unsafe<TranscribeProperties>({
      type: 'object',
      description: 'a nested transcribe verb: `{ transcriptionHook, recognizer, … }`'
    })
  ),
  earlyMedia: Type.Optional(
    Type.Boolean({ default: false, description: '`true`: the listen starts before the call is answered' })
  ),
  channel: Type.Optional(
    Type.Union([Type.Literal(1), Type.Literal(2)], {
      default: 1,
      description:
        "for a listen nested in `dial`: the leg that jambonz listens to. 1 is the caller's leg, 2 the callee's. With 2, a mono stream has only the callee, and a stereo stream has the callee left and the caller right (feature-server lib/tasks/dial.js)"
    })
  ),
  auth: Type.Optional(CredentialsSchema('jambonz accepts this property, but does not use it')),
  id: Type.Optional(
    Type.String({
      description: 'the value of `verb_id` in the payload of the actionHook',
      unset: 'the id of the `Listen`'
    })
  )
}

const strict = <T extends TProperties>(properties: T): TObject<T> =>
  Type.Object(properties, { additionalProperties: false })

/** The options of a `listen` or `stream`: in the verb, in `{ listen: {…} }` and in `dial`. */
export const ListenOptionsSchema = strict(foreground)
export type ListenOptions = OrUndefined<Static<typeof ListenOptionsSchema>>

/** The options of a `listen` in `config`, which runs in the background of the verbs that follow. */
export const ConfigListenSchema = strict({
  enable: Type.Optional(Type.Boolean({ default: true, description: '`false` ends the background listen' })),
  ...background
})
export type ConfigListen = OrUndefined<Static<typeof ConfigListenSchema>>

export const ListenVerbSchema = strict({ verb: Type.Literal('listen'), ...foreground })
export type ListenVerb = Static<typeof ListenVerbSchema>

export const StreamVerbSchema = strict({ verb: Type.Literal('stream'), ...foreground })
export type StreamVerb = Static<typeof StreamVerbSchema>
