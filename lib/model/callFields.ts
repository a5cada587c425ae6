import type { CallPatch } from './callWrite.js'
import type { CallStatus, CallWebhook, ListenHook } from './payloads.js'

const FINAL_STATUS: ReadonlySet<string> = new Set(['completed', 'failed', 'busy', 'no-answer'])

/** Fields of the call itself. */
export type CallFields = NonNullable<CallPatch['call']>
export type Payload = CallWebhook | ListenHook | CallStatus

/** Returns true for a call_status that ends the call. */
export function isFinal(callStatus: string | undefined): boolean {
  return callStatus !== undefined && FINAL_STATUS.has(callStatus)
}

/** Returns the fields of the call that a payload has (snake_case, as posted). */
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
  if ('env_vars' in payload && isRecord(payload.env_vars)) fields.envVars = payload.env_vars
  return fields
}

/** Returns the fields of the call that the audio socket's metadata frame has (camelCase). */
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
