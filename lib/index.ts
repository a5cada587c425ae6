// The public names of the package. README.md lists them under "Exports".

import { jambonzListen } from './plugin.js'

export default jambonzListen
export { jambonzListen }
export { memoryStore, type MemoryStoreOptions } from './store/memory.js'
export { decryptRecording } from './recording/encryption.js'

// TypeBox schemas
export { OptionsSchema, type JambonzListenOptions } from './options.js'
export { CallSchema, ListenSchema, type Call, type Listen } from './model/schema.js'
export {
  CallStatusSchema,
  CallWebhookSchema,
  ListenHookSchema,
  type CallStatus,
  type CallWebhook,
  type ListenHook
} from './model/payloads.js'

// Types
export type { Jambonz } from './Jambonz.js'
export type { JambonzRequest } from './application/request.js'
export type {
  ActionHookHandler,
  EnvVariable,
  HookRouteOptions,
  StatusHandler,
  WebhookHandler,
  WebhookRouteOptions
} from './application/verbRoute.js'
export type { AudioStream } from './audio/stream/AudioStream.js'
export type { DtmfEvent, MarkOutcome, PlayDone, StreamEnd } from './audio/socket/types.js'
export type { Utterance, UtteranceOptions } from './audio/playback/Utterance.js'
export type { AudioHandler, AudioRouteOptions } from './listening/AudioRoutes.js'
export type { CallEventMap } from './correlation/CallEvents.js'
export type { LiveCalls as Calls } from './application/control/LiveCalls.js'
export type { ApiOptions, CreateCall } from './application/control/RestApi.js'
export type { JambonzEvent } from './model/payloads.js'
export type { CallStore, StoreHealth } from './store/CallStore.js'
export type { MetricsRegistry } from './metrics/instruments.js'
export type { AudioCounts, EndReason, MixType, Recording } from './model/schema.js'
export type { Credentials } from './model/credentials.js'
export type { FinishedRecording } from './model/recording.js'
export type { RecordingControl } from './audio/stream/LiveStream.js'
export type { RecordingOptions, Sink, SinkContext, SinkWritable } from './recording/options.js'
export type { ConfigListen, HandlerResult, ListenOptions, Verb, VerbProperties } from './verbs/index.js'
