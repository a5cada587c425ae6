export {
  type ExpectedListen,
  type HookUrl,
  type Platform,
  type PreparedVerbs,
  type VerbContext
} from './listen.js'
export {
  checkCredentials,
  LISTEN_METADATA_KEY,
  MAX_CREDENTIALS_BYTES,
  MAX_METADATA_BYTES,
  MAX_URL_LENGTH
} from './validate.js'
export {
  ActionHookSchema,
  BidirectionalAudioSchema,
  ConfigListenSchema,
  ListenOptionsSchema,
  ListenVerbSchema,
  SAMPLE_RATES,
  StreamVerbSchema,
  type ActionHook,
  type ConfigListen,
  type ListenOptions,
  type ListenVerb,
  type StreamVerb
} from './listenSchema.js'
export {
  jsonOfVerbs,
  listenKeyOf,
  prepareVerbs,
  type HandlerResult,
  type NoUnknownProperties,
  type Verb,
  type VerbProperties,
  type VerbsResult
} from './prepare.js'
