export { type ExpectedListen, type Platform, type PreparedVerbs, type VerbContext } from './context.js'
export { checkCredentials, MAX_CREDENTIALS_BYTES, type Credentials } from './credentials.js'
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
export { LISTEN_METADATA_KEY, MAX_METADATA_BYTES } from './metadata.js'
export { prepareVerbs, warmUp } from './prepare.js'
export type { HandlerResult, NoUnknownProperties, Verb, VerbProperties, VerbsResult } from './types.js'
export { MAX_URL_LENGTH } from './url.js'
