import { ERR_RECORDING_KEY } from '../model/errors.js'
import type { AudioFile } from './AudioFile.js'
import { createPreamble, FrameCipher } from './cipher.js'
import { checkKey } from './decrypt.js'
import { EncryptedFile } from './EncryptedFile.js'
import type { Encryption } from './options.js'
import { WavFile } from './WavFile.js'
import type { WavFormat } from '../pcm/wavHeader.js'

/** What a new recording is written to: `fd` is open and empty. Rejects with FST_JAMBONZ_RECORDING_KEY when there is no key for it. */
export async function createAudioFile(
  path: string,
  fd: number,
  format: WavFormat,
  { encryption }: { encryption: Encryption | undefined }
): Promise<AudioFile> {
  if (encryption === undefined) return new WavFile(path, fd, format)
  return new EncryptedFile(
    path,
    fd,
    format,
    await createCipher(path, createPreamble(encryption.keyId), encryption)
  )
}

export async function createCipher(
  path: string,
  preamble: Buffer,
  { key, keyId }: Encryption
): Promise<FrameCipher> {
  try {
    return new FrameCipher(checkKey(await key(keyId)), preamble)
  } catch (cause) {
    throw new ERR_RECORDING_KEY(path, cause instanceof Error ? cause.message : String(cause), { cause })
  }
}
