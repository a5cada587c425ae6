import { Transform } from 'node:stream'
import { createPreamble } from './cipher.js'
import { createCipher } from './createAudioFile.js'
import type { Encryption } from './options.js'

const NOTHING = Buffer.alloc(0)

/** Encrypts a file of any kind as recordings are: decryptRecording() reads it. Rejects with FST_JAMBONZ_RECORDING_KEY. */
export async function encryptStream(path: string, encryption: Encryption): Promise<Transform> {
  const cipher = await createCipher(path, createPreamble(encryption.keyId), encryption)
  let index = 0
  const stream = new Transform({
    transform(chunk: Buffer, _, done) {
      done(null, cipher.seal(index++, chunk))
    },
    flush(done) {
      done(null, cipher.seal(index, NOTHING, true))
    }
  })
  stream.push(cipher.preamble)
  return stream
}
