import { Type, type Static } from '@sinclair/typebox'
import { MAX_CALL_SID_BYTES } from './listenId.js'

// What feature-server posts (lib/session/call-info.js): snake_case at every depth, except inside `customerData`,
// `sip` and `env_vars`. Newer jambonz may add keys: they pass.

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
    )
  },
  { additionalProperties: true }
)
export type CallWebhook = Static<typeof CallWebhookSchema>

/** The actionHook of a listen. A hook without `dial_call_duration` tells of a socket that could not be opened. */
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

/** A call status event; the last one adds the duration and who hung up. */
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
