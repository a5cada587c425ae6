import { Type, type Static } from '@sinclair/typebox'
import type { CallPatch } from './callWrite.js'
import { isObject } from './json.js'
import type { Listen } from './schema.js'
import { MAX_CALL_SID_BYTES } from './tokens.js'

// The payloads of feature-server (lib/session/call-info.js): snake_case at every depth, except inside `customerData`,
// `sip` and `env_vars`. Unknown keys are accepted, since newer jambonz may add some.

const CallAttributes = {
  call_sid: Type.String({ minLength: 1, maxLength: MAX_CALL_SID_BYTES }),
  parent_call_sid: Type.Optional(Type.String()),
  account_sid: Type.Optional(Type.String()),
  application_sid: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  direction: Type.Optional(Type.String({ description: 'inbound or outbound' })),
  from: Type.Optional(Type.String()),
  to: Type.Optional(Type.String()),
  caller_name: Type.Optional(Type.String()),
  caller_id: Type.Optional(Type.String()),
  call_id: Type.Optional(Type.String({ description: 'SIP Call-ID' })),
  sbc_callid: Type.Optional(Type.String()),
  call_status: Type.Optional(
    Type.String({
      description: 'trying, ringing, early-media, in-progress, completed, failed, busy, no-answer or queued'
    })
  ),
  sip_status: Type.Optional(Type.Integer()),
  sip_reason: Type.Optional(Type.String()),
  trace_id: Type.Optional(Type.String()),
  fs_sip_address: Type.Optional(Type.String()),
  originating_sip_ip: Type.Optional(Type.String()),
  originating_sip_trunk_name: Type.Optional(Type.String()),
  customerData: Type.Optional(Type.Unknown())
}

/** The result of a speech recognition. Speech services add fields of their own. */
export interface SpeechResult {
  is_final?: boolean
  language_code?: string
  /** what the caller may have said, best first */
  alternatives?: Array<{ transcript: string; confidence?: number }>
  [field: string]: unknown
}

/** The transfer that a party of the call asks for with a SIP REFER. */
export interface ReferDetails {
  sip_refer_to?: string
  /** the user part, or the number, of the transfer's target */
  refer_to_user?: string
  sip_referred_by?: string
  referred_by_user?: string
  referring_call_sid?: string
  referred_call_sid?: string
  /** headers of the REFER that begin with X- or x-, in snake_case */
  [field: string]: unknown
}

/** A call's first webhook, and any hook of another verb than listen. */
export const CallWebhookSchema = Type.Object(
  {
    ...CallAttributes,
    service_provider_sid: Type.Optional(Type.String()),
    sip: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), { description: 'the INVITE: headers, body, method, …' })
    ),
    defaults: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'synthesizer and recognizer of the application'
      })
    ),
    env_vars: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'application environment variables: in the first webhook of a call only'
      })
    ),
    digits: Type.Optional(Type.String({ description: 'hook of gather: the keys that the caller pressed' })),
    speech: Type.Optional(
      Type.Unsafe<SpeechResult>({
        description: 'hook of gather and transcribe: the result of the speech recognition'
      })
    ),
    reason: Type.Optional(
      Type.String({
        description: 'hook of gather: why it ended, such as dtmfDetected, speechDetected or timeout'
      })
    ),
    dial_call_sid: Type.Optional(Type.String({ description: 'hook of dial: the callSid of the called leg' })),
    dial_call_status: Type.Optional(
      Type.String({ description: 'hook of dial: completed, failed, busy, no-answer, …' })
    ),
    dial_sip_status: Type.Optional(
      Type.Integer({ description: 'hook of dial: the SIP status of the called leg' })
    ),
    dtmf: Type.Optional(Type.String({ description: 'dtmfHook of dial: the keys that match' })),
    refer_details: Type.Optional(
      Type.Unsafe<ReferDetails>({ description: 'referHook: the transfer that a party asks for' })
    ),
    refer_status: Type.Optional(
      Type.Integer({ description: 'hook of sip:refer: the SIP status of the REFER' })
    ),
    queue_sid: Type.Optional(Type.String({ description: 'hooks of enqueue' })),
    queue_time: Type.Optional(Type.Number({ description: 'hooks of enqueue: seconds in the queue' })),
    queue_size: Type.Optional(Type.Integer({ description: 'waitHook of enqueue: calls in the queue' })),
    queue_position: Type.Optional(
      Type.Integer({ description: 'waitHook of enqueue: the place in the queue' })
    ),
    queue_result: Type.Optional(
      Type.String({ description: 'actionHook of enqueue: hangup, leave, bridged, …' })
    ),
    dequeue_result: Type.Optional(
      Type.String({ description: 'actionHook of dequeue: timeout, complete or hangup' })
    )
  },
  { additionalProperties: true }
)
export type CallWebhook = Static<typeof CallWebhookSchema>

/** The actionHook of a listen. If `dial_call_duration` is absent, the socket could not be opened. */
export const ListenHookSchema = Type.Object(
  {
    ...CallAttributes,
    dial_call_duration: Type.Optional(Type.Number({ description: 'whole seconds of listening' })),
    digits: Type.Optional(Type.String({ description: 'the key that ended the listen' })),
    verb_id: Type.Optional(Type.String({ description: "the verb's id, when it had one" }))
  },
  { additionalProperties: true }
)
export type ListenHook = Static<typeof ListenHookSchema>

/** A call status event. The last event has the duration, and the side that hung up. */
export const CallStatusSchema = Type.Object(
  {
    ...CallAttributes,
    duration: Type.Optional(Type.Number({ description: 'whole seconds' })),
    call_termination_by: Type.Optional(Type.String({ description: 'caller or jambonz' }))
  },
  { additionalProperties: true }
)
export type CallStatus = Static<typeof CallStatusSchema>

/** The answer to a webhook or hook: verbs, each `{ verb: 'name', … }`. */
export const AnswerSchema = Type.Array(Type.Unknown(), { description: 'jambonz verbs' })

const FINAL_STATUS: ReadonlySet<string> = new Set(['completed', 'failed', 'busy', 'no-answer'])

/** The fields of a call, without its listens and data. */
export type CallFields = NonNullable<CallPatch['call']>
export type Payload = CallWebhook | ListenHook | CallStatus

/** Returns true for a call_status that ends the call. */
export function isFinal(callStatus: string | undefined): boolean {
  return callStatus !== undefined && FINAL_STATUS.has(callStatus)
}

/** Returns the fields of the call in a payload (snake_case). */
export function callFields(payload: Payload): CallFields {
  const fields: CallFields = {}
  if (payload.parent_call_sid !== undefined) fields.parentCallSid = payload.parent_call_sid
  if (payload.account_sid !== undefined) fields.accountSid = payload.account_sid
  if (typeof payload.application_sid === 'string') fields.applicationSid = payload.application_sid
  if (payload.direction !== undefined) fields.direction = payload.direction
  if (payload.from !== undefined) fields.from = payload.from
  if (payload.to !== undefined) fields.to = payload.to
  if (payload.call_status !== undefined) fields.callStatus = payload.call_status
  if (payload.customerData !== undefined) fields.customerData = payload.customerData
  if ('env_vars' in payload && isObject(payload.env_vars)) fields.envVars = payload.env_vars
  return fields
}

/** Returns the fields of the call in the metadata frame of an audio socket (camelCase). */
export function callFieldsOfMetadata(metadata: Record<string, unknown>): CallFields {
  return {
    parentCallSid: text(metadata.parentCallSid),
    accountSid: text(metadata.accountSid),
    applicationSid: text(metadata.applicationSid),
    direction: text(metadata.direction),
    from: text(metadata.from),
    to: text(metadata.to),
    callStatus: text(metadata.callStatus),
    customerData: metadata.customerData
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

const DEFAULT_RATE = 8_000
/** Hz. jambonz documents 8,000 to 64,000, and accepts any other rate, too (mod_audio_fork). */
const MIN_RATE = 1_000
const MAX_RATE = 384_000

/**
 * Returns the audio format in a socket's first frame, with jambonz' default for each field that is absent or invalid.
 */
export function formatOf({ mixType, sampleRate }: Record<string, unknown> = {}): Pick<
  Listen,
  'mixType' | 'channels' | 'sampleRate'
> {
  return {
    mixType: mixType === 'stereo' || mixType === 'mixed' ? mixType : 'mono',
    channels: mixType === 'stereo' ? 2 : 1,
    sampleRate: isRate(sampleRate) ? sampleRate : DEFAULT_RATE
  }
}

/** Returns the listen with the format of its first frame, if the store does not know its verb. */
export function asFramed(listen: Listen, metadata: Record<string, unknown> | undefined): Listen {
  return listen.path === '' ? { ...listen, ...formatOf(metadata) } : listen
}

function isRate(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= MIN_RATE && Number(value) <= MAX_RATE
}

/**
 * Messages of the application websocket that need no answer. `calls.events` emits them under these names of jambonz.
 */
export const JAMBONZ_EVENTS = [
  'jambonz:error',
  'verb:status',
  'llm:event',
  'llm:tool-call',
  'agent:event',
  'tts:streaming-event',
  'tts:tokens-result'
] as const
export type JambonzEventName = (typeof JAMBONZ_EVENTS)[number]

/** An event of JAMBONZ_EVENTS, as listeners get it. */
export interface JambonzEvent {
  callSid: string
  /** the hook in the verb, for llm:event, llm:tool-call and agent:event */
  hook?: string
  /** the data of jambonz, snake_case */
  data: Readonly<Record<string, unknown>>
}

export type JambonzEventMap = Record<JambonzEventName, [event: JambonzEvent]>

export function isJambonzEvent(type: string): type is JambonzEventName {
  return (JAMBONZ_EVENTS as readonly string[]).includes(type)
}
