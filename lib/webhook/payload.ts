import type { CallPatch } from '../calls/CallStore.js'
import type { CallStatus, CallWebhook, ListenHook } from './schema.js'

const FINAL_STATUS: ReadonlySet<string> = new Set(['completed', 'failed', 'busy', 'no-answer'])

export type Payload = CallWebhook | ListenHook | CallStatus

/** True for a call_status after which nothing comes. */
export function isFinal (callStatus: string | undefined): boolean {
  return callStatus !== undefined && FINAL_STATUS.has(callStatus)
}

/** What a payload (snake_case, as posted) says of its call. */
export function callFields (payload: Payload): NonNullable<CallPatch['call']> {
  const envVars = 'env_vars' in payload ? payload.env_vars : undefined
  return withoutUndefined({
    parentCallSid: payload.parent_call_sid,
    accountSid: payload.account_sid,
    applicationSid: payload.application_sid ?? undefined,
    direction: payload.direction,
    from: payload.from,
    to: payload.to,
    callStatus: payload.call_status,
    customerData: payload.customerData,
    envVars: isRecord(envVars) ? envVars : undefined
  })
}

/** What the audio socket's metadata frame (camelCase) says of its call. */
export function callFieldsOfMetadata (metadata: Record<string, unknown>): NonNullable<CallPatch['call']> {
  return withoutUndefined({
    parentCallSid: text(metadata.parentCallSid),
    accountSid: text(metadata.accountSid),
    applicationSid: text(metadata.applicationSid),
    direction: text(metadata.direction),
    from: text(metadata.from),
    to: text(metadata.to),
    callStatus: text(metadata.callStatus),
    customerData: metadata.customerData
  })
}

function text (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function withoutUndefined<T extends object> (fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
}
