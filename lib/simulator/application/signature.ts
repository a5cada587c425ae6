import { createHmac } from 'node:crypto'

/** Returns the `Jambonz-Signature` of the bytes that are sent (feature-server lib/utils/base-requestor.js). */
export function signatureHeader(
  body: string,
  secret: string,
  unixSeconds = Math.floor(Date.now() / 1000)
): string {
  const signature = createHmac('sha256', secret).update(`${unixSeconds}.${body}`, 'utf8').digest('hex')
  return `t=${unixSeconds},v1=${signature}`
}
