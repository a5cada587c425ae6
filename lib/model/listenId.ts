import { ERR_CALL_SID } from './errors.js'
import type { Hmac } from './Hmac.js'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const LISTEN_ID = /^(?:([0-9a-f]{32})|x((?:[0-9a-f]{2}){1,128}))-[0-9a-f]{16}$/
const DIGEST_HEX = 16

/** Longest callSid, in bytes, that an id can carry; jambonz' own are UUIDs. */
export const MAX_CALL_SID_BYTES = 128

/**
 * Returns an id that names its call: `<callSid>-<digest>`, lower-case hexadecimal (safe in urls and on file systems
 * that ignore case). So a socket's path or a hook's `?listen=` gives its call without an index or a store. The same
 * `seed` gives the same id: a request that jambonz retries is answered with the same listens. The digest is keyed:
 * ids can't be guessed.
 */
export function createListenId(secret: Hmac, callSid: string, seed: string): string {
  const name = UUID.test(callSid) ? callSid.replaceAll('-', '') : `x${Buffer.from(callSid).toString('hex')}`
  const digest = secret.digest('hex', `listen\n${callSid}\n${seed}`)
  return `${name}-${digest.slice(0, DIGEST_HEX)}`
}

/** Returns the callSid in a listen id; undefined if it is no id of ours. */
export function callSidOf(listenId: string): string | undefined {
  const [, uuid, other] = LISTEN_ID.exec(listenId) ?? []
  if (uuid !== undefined) return uuid.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  return other === undefined ? undefined : Buffer.from(other, 'hex').toString()
}

/** Throws FST_JAMBONZ_CALL_SID where an id of a listen can't carry the callSid. */
export function checkCallSid(callSid: string): void {
  const bytes = Buffer.byteLength(callSid)
  if (bytes === 0 || bytes > MAX_CALL_SID_BYTES) throw new ERR_CALL_SID(MAX_CALL_SID_BYTES)
}
