import jambonzListen from './plugin.js'

export default jambonzListen
export { jambonzListen }
export { AudioStream } from './audio/index.js'
export type { AudioHandler, AudioRouteOptions } from './listening/AudioRoutes.js'
export { Calls, type CallEventMap } from './correlation/Calls.js'
export type { CallPatch, ListenPatch } from './model/patch.js'
export type { CallStore, Claim, StoreContext, StoreHealth, Updated } from './store/CallStore.js'
export { memoryStore, type MemoryStoreOptions } from './store/memory.js'
export {
  AudioCountsSchema,
  CallSchema,
  EndReasonSchema,
  ListenSchema,
  RecordingSchema
} from './model/schema.js'
export type { AudioCounts, Call, EndReason, Listen, MixType, Recording } from './model/schema.js'
export type { Jambonz } from './Jambonz.js'
export type { MetricsRegistry } from './metrics/index.js'
export { OptionsSchema, type JambonzListenOptions } from './options.js'
export {
  decryptRecording,
  FinishedRecordingSchema,
  RecordingOptionsSchema,
  type FinishedRecording,
  type RecordingOptions
} from './recording/index.js'
export type { RecordingControl } from './audio/stream/RecordingControl.js'
export * from './verbs/index.js'
export { CallStatusSchema, CallWebhookSchema, ListenHookSchema } from './model/payloads.js'
export type { CallStatus, CallWebhook, ListenHook } from './model/payloads.js'
export type {
  ActionHookHandler,
  EnvVariable,
  HookRouteOptions,
  StatusHandler,
  WebhookHandler,
  WebhookRouteOptions
} from './application/types.js'
