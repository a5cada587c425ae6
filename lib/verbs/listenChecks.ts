import type { Credentials } from '../model/credentials.js'
import { ERR_VERB_INVALID, ERR_CREDENTIALS } from '../model/errors.js'
import { shown } from './validate.js'
import type { ConfigListen } from './listenSchema.js'

/**
 * Characters of a listen's url. The media server splits it with a recursive regular expression and crashes at about 700
 * (mod_audio_fork), including the host and base path that jambonz puts before a relative url.
 */
export const MAX_URL_LENGTH = 400

const ABSOLUTE = /^(?:wss?|https?):\/\//
const SPEAKABLE = /^(?:wss?|https?):\/\/[^/?#@[\]]+(?:\/|$)/
const PRINTABLE = /^[!-{}~]+$/

/** Throws FST_JAMBONZ_VERB_INVALID for a url that jambonz' media server cannot open, or that would crash it. */
export function checkUrl(url: string, at: string): void {
  const problem = urlProblem(url)
  if (problem !== undefined) throw new ERR_VERB_INVALID(`${at}.url is ${shown('', url)}: ${problem}`)
}

function urlProblem(url: string): string | undefined {
  if (url === '') return 'leave it out, or name an audio route'
  if (url.length > MAX_URL_LENGTH) {
    return `at ${url.length} characters it could crash jambonz' media server: keep it within ${MAX_URL_LENGTH}`
  }
  if (!PRINTABLE.test(url)) return 'percent-encode what is not printable ASCII, spaces and the character |'
  if (ABSOLUTE.test(url) && !SPEAKABLE.test(url)) {
    return 'jambonz needs scheme://host[:port]/path, and takes no credentials, IPv6 address or query right after the host: put credentials into wsAuth'
  }
  return undefined
}

/** The key of a listen's id in the metadata frame. */
export const LISTEN_METADATA_KEY = 'jambonzListenId'

/**
 * Bytes of JSON that a verb's own metadata may have. The media server cuts the frame at 8192 bytes (mod_audio_fork),
 * which also hold jambonz' call attributes, SIP headers and `customerData`.
 */
export const MAX_METADATA_BYTES = 4_096

/**
 * The keys that jambonz writes into the frame (feature-server lib/tasks/listen.js, lib/session/call-info.js). Metadata
 * of the verb would overwrite them.
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

/** Throws FST_JAMBONZ_VERB_INVALID for keys of jambonz, and for metadata that is too long. */
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

export type BidirectionalOptions = Pick<ConfigListen, 'bidirectionalAudio' | 'disableBidirectionalAudio'>

/** Throws FST_JAMBONZ_VERB_INVALID for options that jambonz accepts, but with which it would play nothing. */
export function checkBidirectional(
  { bidirectionalAudio, disableBidirectionalAudio }: BidirectionalOptions,
  at: string
): void {
  if (bidirectionalAudio === undefined) return
  const { enabled, streaming } = bidirectionalAudio
  if (disableBidirectionalAudio === true && (enabled === true || streaming === true)) {
    throw new ERR_VERB_INVALID(
      `${at}.disableBidirectionalAudio contradicts ${at}.bidirectionalAudio: leave it out`
    )
  }
  if (enabled === false && streaming === true) {
    throw new ERR_VERB_INVALID(
      `${at}.bidirectionalAudio has streaming: true with enabled: false, and the caller would hear nothing: set enabled to true, or leave streaming out`
    )
  }
}

/**
 * Bytes of username and password together, in UTF-8, that jambonz can send on a websocket. With 90 bytes the password
 * lacks its last byte, with more there is no Authorization header (mod_audio_fork).
 */
export const MAX_CREDENTIALS_BYTES = 89

const CONTROL_CHARACTERS = /\p{Cc}/u

/**
 * Checks HTTP Basic credentials for jambonz. `name`: their place, as in `auth` or `[0] listen.wsAuth`. Throws
 * FST_JAMBONZ_CREDENTIALS.
 */
export function checkCredentials(name: string, { username, password }: Credentials): void {
  if (username === '' || password === '') {
    throw new ERR_CREDENTIALS(
      name,
      `${username === '' ? 'username' : 'password'} is empty, and jambonz then sends no credentials: set both, or neither`
    )
  }
  if (username.includes(':')) {
    throw new ERR_CREDENTIALS(
      name,
      'username has a colon, where HTTP Basic begins the password: choose one without'
    )
  }
  if (CONTROL_CHARACTERS.test(username + password)) {
    throw new ERR_CREDENTIALS(
      name,
      "a control character, such as a line feed, is in them: jambonz can't hand them to its media server"
    )
  }
  const bytes = Buffer.byteLength(username) + Buffer.byteLength(password)
  if (bytes > MAX_CREDENTIALS_BYTES) {
    throw new ERR_CREDENTIALS(
      name,
      `username and password are ${bytes} bytes together, and jambonz sends at most ${MAX_CREDENTIALS_BYTES}: shorten them`
    )
  }
}
