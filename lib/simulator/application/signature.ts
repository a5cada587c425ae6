import { createHmac } from 'node:crypto'

/**
 * Returns the header `Jambonz-Signature` of a request, as jambonz makes it (feature-server lib/utils/base-requestor.js).
 * `body`: the exact text that is sent. `unixSeconds`: the time of the signature; default: now.
 */
export function signatureHeader(
  body: string,
  secret: string,
  unixSeconds = Math.floor(Date.now() / 1000)
): string {
  const signature = createHmac('sha256', secret).update(`${unixSeconds}.${body}`, 'utf8').digest('hex')
  return `t=${unixSeconds},v1=${signature}`
}
