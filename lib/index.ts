import jambonzListen from './plugin.js'

export default jambonzListen
export { jambonzListen }
export { AudioStream } from './audio/index.js'
export type { AudioHandler, AudioRouteOptions } from './audio/AudioRoutes.js'
export { Calls, type CallEventMap } from './calls/Calls.js'
export type {
  CallPatch,
  CallStore,
  Claim,
  ListenPatch,
  StoreContext,
  StoreHealth,
  Updated
} from './calls/CallStore.js'
export { memoryStore, type MemoryStoreOptions } from './calls/memory.js'
export {
  AudioCountsSchema,
  CallSchema,
  EndReasonSchema,
  ListenSchema,
  RecordingSchema
} from './calls/schema.js'
export type { AudioCounts, Call, EndReason, Listen, MixType, Recording } from './calls/schema.js'
export type { Jambonz } from './Jambonz.js'
export type { MetricsRegistry } from './metrics/index.js'
export { OptionsSchema, type JambonzListenOptions } from './options.js'
export {
  decryptRecording,
  FinishedRecordingSchema,
  RecordingOptionsSchema,
  type FinishedRecording,
  type RecordingControl,
  type RecordingOptions
} from './recording/index.js'
export * from './verbs/index.js'
export { CallStatusSchema, CallWebhookSchema, ListenHookSchema } from './webhook/schema.js'
export type { CallStatus, CallWebhook, ListenHook } from './webhook/schema.js'
export type {
  ActionHookHandler,
  EnvVariable,
  HookRouteOptions,
  StatusHandler,
  WebhookHandler,
  WebhookRouteOptions
} from './webhook/types.js'
