import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Hmac } from './tokens.js'

// Verbs of a live call go through the store, to another instance or until jambonz fetches them. They may hold credentials
// and signed paths, so they are encrypted with the option `secret`: who reads the store learns nothing, who writes to it can
// make none.

const CIPHER = 'aes-256-gcm'
const NONCE = 12
const TAG = 16

/** Returns the text encrypted. `about`: what it is for and of which call; only the same opens it again. */
export function seal(secret: Hmac, about: string, text: string): string {
  const nonce = randomBytes(NONCE)
  const cipher = createCipheriv(CIPHER, keyOf(secret), nonce, { authTagLength: TAG })
  cipher.setAAD(Buffer.from(about))
  const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return sealed.toString('base64')
}

/** Returns the text that was sealed; undefined where it was altered, or sealed with another secret or for another thing. */
export function unseal(secret: Hmac, about: string, sealed: string): string | undefined {
  const bytes = Buffer.from(sealed, 'base64')
  if (bytes.length < NONCE + TAG) return undefined
  const decipher = createDecipheriv(CIPHER, keyOf(secret), bytes.subarray(0, NONCE), { authTagLength: TAG })
  decipher.setAAD(Buffer.from(about))
  decipher.setAuthTag(bytes.subarray(-TAG))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(NONCE, -TAG)), decipher.final()]).toString('utf8')
  } catch {
    return undefined
  }
}

function keyOf(secret: Hmac): Buffer {
  return Buffer.from(secret.digest('hex', 'seal'), 'hex')
}
