import { ERR_VERB_INVALID } from '../model/errors.js'

/** The key of a listen's id in the metadata frame. */
export const LISTEN_METADATA_KEY = 'jambonzListenId'

/**
 * Bytes of JSON a verb's own metadata may have. The media server cuts the frame at 8192 (mod_audio_fork), and
 * jambonz' call attributes, the call's SIP headers and its `customerData` have to fit in beside it.
 */
export const MAX_METADATA_BYTES = 4_096

/**
 * The keys that jambonz itself writes into the frame (feature-server lib/tasks/listen.js, lib/session/call-info.js);
 * the verb's metadata would overwrite them.
 */
const RESERVED = new Set([
  'sampleRate',
  'mixType',
  'callSid',
  'parentCallSid',
  'accountSid',
  'applicationSid',
  'direction',
  'from',
  'to',
  'callId',
  'callerId',
  'callerName',
  'callStatus',
  'sbcCallid',
  'sipStatus',
  'sipReason',
  'traceId',
  'fsSipAddress',
  'fsPublicIp',
  'apiBaseUrl',
  'originatingSipIp',
  'originatingSipTrunkName',
  'callTerminationBy',
  'duration',
  'customerData',
  'headers',
  LISTEN_METADATA_KEY
])

/** Throws FST_JAMBONZ_VERB_INVALID for keys that are jambonz' own and for more than the wire carries. */
export function checkMetadata(metadata: Record<string, unknown>, at: string): void {
  const reserved = Object.keys(metadata).find((key) => RESERVED.has(key))
  if (reserved !== undefined) {
    throw new ERR_VERB_INVALID(
      `${at}.metadata.${reserved}: the name is taken, jambonz or this plugin writes it into the same frame: choose another`
    )
  }
  checkMetadataSize(metadata, at)
}

export function checkMetadataSize(metadata: Record<string, unknown>, at: string): void {
  const bytes = Buffer.byteLength(JSON.stringify(metadata))
  if (bytes > MAX_METADATA_BYTES) {
    throw new ERR_VERB_INVALID(
      `${at}.metadata is ${bytes} bytes of JSON, more than the ${MAX_METADATA_BYTES} that reach the socket whole: keep data with calls.update() instead`
    )
  }
}
