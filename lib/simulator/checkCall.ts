import { inspect } from 'node:util'
import { Type, type TSchema } from '@sinclair/typebox'
import { ValueErrorType, type ValueError } from '@sinclair/typebox/errors'
import { Value } from '@sinclair/typebox/value'
import { SIM_OPTIONS } from './errors.js'
import type { Faults } from './faults.js'
import type { BLeg, EventName, SimulateCallOptions, TimedKeys, Transcript } from './types.js'

// The `title` of a schema says in words what is allowed.
const Word = Type.String({ title: 'a string' })
const Text = Type.Optional(Word)
const Flag = Type.Optional(Type.Boolean({ title: 'true or false' }))
const Ms = Type.Number({ minimum: 0, title: 'a number of ms, 0 or more' })
const Time = Type.Optional(Ms)
const Whatever = Type.Optional(Type.Unknown())
const Data = { title: 'an object' }
const Closed = { ...Data, additionalProperties: false }

function oneOf(...values: string[]): TSchema {
  const literals = values.map((value) => Type.Literal(value))
  return Type.Optional(Type.Union(literals, { title: `one of ${values.join(', ')}` }))
}

const Credentials = Type.Optional(Type.Object({ username: Word, password: Word }, Closed))

const FaultsSchema = Type.Object(
  {
    slowUpgradeMs: Time,
    noMetadata: Flag,
    lateMetadataMs: Time,
    metadata: oneOf('apostrophe', 'quote', 'cut'),
    dropAfterMs: Time,
    duplicateWebhook: Flag,
    duplicateHook: Flag,
    hookBeforeCloseMs: Time,
    noHookAfterHangup: Flag,
    stall: Type.Optional(Type.Object({ fromMs: Ms, forMs: Ms }, Closed)),
    hangUpDuringUpgrade: Flag,
    gracefulShutdown: Flag
  } satisfies Record<keyof Faults, TSchema>,
  Closed
)

const BLegSchema = Type.Object(
  {
    answer: Type.Optional(
      Type.Union([Type.Boolean(), Type.Integer()], { title: 'true, false or a SIP status' })
    ),
    answerAfterMs: Time,
    speech: Whatever,
    hangUpAfterMs: Time
  } satisfies Record<keyof BLeg, TSchema>,
  Closed
)

/** The options whose values `resolveOptions()` checks itself are `Whatever` here. */
const SimulateCallOptionsSchema = Type.Object(
  {
    url: Text,
    app: Whatever,
    hook: Whatever,
    transport: Whatever,
    publicUrl: Text,
    allowSelfSigned: Flag,
    webhookMethod: oneOf('POST', 'GET'),
    statusHook: Text,
    from: Text,
    to: Text,
    callerName: Text,
    callSid: Text,
    accountSid: Text,
    applicationSid: Text,
    direction: oneOf('inbound', 'outbound'),
    webhookSecret: Text,
    webhookAuth: Credentials,
    env: Type.Optional(Type.Object({}, Data)),
    speech: Whatever,
    speakAt: oneOf('listen', 'answer'),
    press: Whatever,
    transcripts: Type.Optional(Type.Array(Type.Unknown(), { title: 'an array' })),
    hangUpAfterMs: Whatever,
    patienceMs: Whatever,
    bLeg: Type.Optional(BLegSchema),
    recordAllCalls: Type.Optional(Type.Object({ url: Word, wsAuth: Credentials }, Closed)),
    configListenHook: Flag,
    platform: Whatever,
    members: Whatever,
    outsideListen: Type.Optional(
      Type.Object({ url: Word, metadata: Type.Optional(Type.Object({}, Data)), wsAuth: Credentials }, Closed)
    ),
    includeStream: Flag,
    callRate: Whatever,
    speed: Whatever,
    faults: Type.Optional(FaultsSchema),
    httpTimeoutMs: Whatever,
    ackTimeoutMs: Whatever,
    timeoutMs: Whatever,
    signal: Whatever,
    keepAudio: Type.Optional(
      Type.Union([Type.Literal(false), Type.Number({ minimum: 0 })], { title: 'false, or a number of bytes' })
    ),
    onEvent: Type.Optional(Type.Function([], Type.Unknown(), { title: 'a function' }))
  } satisfies Record<keyof SimulateCallOptions, TSchema>,
  Closed
)

const TimedKeysSchema = Type.Object(
  { digits: Word, atMs: Time, holdMs: Whatever } satisfies Record<keyof TimedKeys, TSchema>,
  Closed
)

const TranscriptSchema = Type.Object(
  { text: Word, atMs: Time, confidence: Type.Optional(Type.Number({ title: 'a number' })) } satisfies Record<
    keyof Transcript,
    TSchema
  >,
  Closed
)

/**
 * Throws FST_JAMBONZ_SIM_OPTIONS for options that do not match their schema. `place`: the option or method that has these
 * options. The plugin's own check is not used, since the simulator imports nothing of the plugin.
 */
function check(schema: TSchema, options: unknown, place: string): void {
  const errors = [...Value.Errors(schema, options)]
  // An unknown name is reported first, since it may be the misspelled name of a missing option.
  const error = errors.find(({ type }) => type === ValueErrorType.ObjectAdditionalProperties) ?? errors[0]
  if (error === undefined) return
  const name = [...(place === '' ? [] : [place]), ...error.path.split('/').slice(1)].join('.')
  throw new SIM_OPTIONS(`${name || 'options'}: ${problemOf(name, error)}`)
}

const SECRET = /password|secret/i

function problemOf(name: string, { type, schema, value, message }: ValueError): string {
  if (type === ValueErrorType.ObjectAdditionalProperties) {
    return `there is no such option: use ${Object.keys((schema.properties ?? {}) as object).join(', ')}`
  }
  const { title = message } = schema
  if (type === ValueErrorType.ObjectRequiredProperty) return `is missing: it has to be ${title}`
  return SECRET.test(name) ? `it has to be ${title}` : `it has to be ${title}, not ${inspect(value)}`
}

/** Throws FST_JAMBONZ_SIM_OPTIONS for an unknown option of `simulateCall()`, and for most wrong values. */
export function checkCallOptions(options: SimulateCallOptions): void {
  check(SimulateCallOptionsSchema, options, '')
  options.transcripts?.forEach((transcript, at) => {
    if (typeof transcript !== 'string') check(TranscriptSchema, transcript, `transcripts.${at}`)
  })
  for (const keys of [options.press ?? []].flat()) {
    if (typeof keys === 'object') check(TimedKeysSchema, keys, 'press')
  }
}

const PressOptionsSchema = Type.Object({ holdMs: Whatever }, Closed)
const WaitOptionsSchema = Type.Object({ timeoutMs: Time }, Closed)

/** Throws FST_JAMBONZ_SIM_OPTIONS for an unknown option of `press()` or `waitFor()`. */
export function checkMethodOptions(method: 'press' | 'waitFor', options: unknown): void {
  const schema = method === 'press' ? PressOptionsSchema : WaitOptionsSchema
  check(schema, options, `options of ${method}()`)
}

const EVENTS: Readonly<Record<EventName | '*', true>> = {
  'webhook': true,
  'hook': true,
  'status': true,
  'reconnect': true,
  'event': true,
  'command': true,
  'application:open': true,
  'application:close': true,
  'verb': true,
  'listen:open': true,
  'listen:refused': true,
  'listen:close': true,
  'dtmf': true,
  'message': true,
  'mark': true,
  'playDone': true,
  'error': true,
  'problem': true,
  'hangup': true,
  'end': true,
  '*': true
}

/** Throws FST_JAMBONZ_SIM_OPTIONS if a simulated call has no event of this name. */
export function checkEvent(method: string, name: string): void {
  if (Object.hasOwn(EVENTS, name)) return
  throw new SIM_OPTIONS(`${method}('${name}'): there is no such event: use ${Object.keys(EVENTS).join(', ')}`)
}
