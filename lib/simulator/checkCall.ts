import { Type, type TSchema } from '@sinclair/typebox'
import { checkOptions, didYouMean } from '../model/checkOptions.js'
import { SIM_OPTIONS } from './errors.js'
import type { Faults } from './faults.js'
import type { BLeg, EventName, SimulateCallOptions, TimedKeys, Transcript } from './types.js'

const Text = Type.Optional(Type.String())
const Flag = Type.Optional(Type.Boolean())
const Time = Type.Optional(Type.Number({ minimum: 0, description: 'ms' }))
const Whatever = Type.Optional(Type.Unknown())
const closed = { additionalProperties: false }

function oneOf(...values: string[]): TSchema {
  return Type.Optional(Type.Union(values.map((value) => Type.Literal(value))))
}

const Credentials = Type.Optional(Type.Object({ username: Type.String(), password: Type.String() }, closed))

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
    stall: Type.Optional(
      Type.Object({ fromMs: Type.Number({ minimum: 0 }), forMs: Type.Number({ minimum: 0 }) }, closed)
    ),
    hangUpDuringUpgrade: Flag,
    gracefulShutdown: Flag
  } satisfies Record<keyof Faults, TSchema>,
  closed
)

const BLegSchema = Type.Object(
  {
    answer: Type.Optional(Type.Union([Type.Literal(true), Type.Literal(false), Type.Integer()])),
    answerAfterMs: Time,
    speech: Whatever,
    hangUpAfterMs: Time
  } satisfies Record<keyof BLeg, TSchema>,
  closed
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
    env: Type.Optional(Type.Object({})),
    speech: Whatever,
    speakAt: oneOf('listen', 'answer'),
    press: Whatever,
    transcripts: Type.Optional(Type.Array(Type.Unknown())),
    hangUpAfterMs: Whatever,
    patienceMs: Whatever,
    bLeg: Type.Optional(BLegSchema),
    recordAllCalls: Type.Optional(Type.Object({ url: Type.String(), wsAuth: Credentials }, closed)),
    configListenHook: Flag,
    platform: Whatever,
    members: Whatever,
    outsideListen: Type.Optional(
      Type.Object(
        { url: Type.String(), metadata: Type.Optional(Type.Object({})), wsAuth: Credentials },
        closed
      )
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
      Type.Union([Type.Literal(false), Type.Number({ minimum: 0, description: 'bytes' })])
    ),
    onEvent: Type.Optional(Type.Function([], Type.Unknown()))
  } satisfies Record<keyof SimulateCallOptions, TSchema>,
  closed
)

const TimedKeysSchema = Type.Object(
  { digits: Type.String(), atMs: Time, holdMs: Whatever } satisfies Record<keyof TimedKeys, TSchema>,
  closed
)

const TranscriptSchema = Type.Object(
  { text: Type.String(), atMs: Time, confidence: Type.Optional(Type.Number()) } satisfies Record<
    keyof Transcript,
    TSchema
  >,
  closed
)

/** Throws FST_JAMBONZ_SIM_OPTIONS for an unknown option of `simulateCall()`, and for most wrong values. */
export function checkCallOptions(options: SimulateCallOptions): void {
  checkOptions(SimulateCallOptionsSchema, options, '', SIM_OPTIONS)
  options.transcripts?.forEach((transcript, at) => {
    if (typeof transcript !== 'string') {
      checkOptions(TranscriptSchema, transcript, `transcripts.${at}`, SIM_OPTIONS)
    }
  })
  for (const keys of [options.press ?? []].flat()) {
    if (typeof keys === 'object') checkOptions(TimedKeysSchema, keys, 'press', SIM_OPTIONS)
  }
}

const PressOptionsSchema = Type.Object({ holdMs: Whatever }, closed)
const WaitOptionsSchema = Type.Object({ timeoutMs: Time }, closed)

/** Throws FST_JAMBONZ_SIM_OPTIONS for an unknown option of `press()` or `waitFor()`. */
export function checkMethodOptions(method: 'press' | 'waitFor', options: unknown): void {
  const schema = method === 'press' ? PressOptionsSchema : WaitOptionsSchema
  checkOptions(schema, options, `options of ${method}()`, SIM_OPTIONS)
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
  throw new SIM_OPTIONS(
    `${method}('${name}'): there is no such event${didYouMean(name, Object.keys(EVENTS))}`
  )
}
