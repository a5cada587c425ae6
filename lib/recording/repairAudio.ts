import { isError } from '../model/json.js'
import { ERR_RECORDING_DECRYPT, ERR_RECORDING_KEY } from '../model/errors.js'
import { Levels } from '../pcm/samples.js'
import { inspectWav, repairWav, WAV_HEADER_BYTES, type WavFormat } from '../pcm/wavHeader.js'
import { LARGE_BLOCK } from './BlockWriter.js'
import { MAY_FLUSH, openRegular, lstat, readFully, withFile } from './directory/files.js'
import { ENCRYPTED_WAV } from './directory/names.js'
import {
  createCipher,
  FRAME_HEAD_BYTES,
  FRAME_OVERHEAD,
  PREAMBLE_BYTES,
  readFrameHead,
  type FrameCipher
} from './encryption.js'
import type { Encryption } from './options.js'
import { FIRST_FRAME_AT, RecordingFile, settled, type Progress } from './RecordingFile.js'

const BITS = 16

export interface RepairedAudio {
  /** bytes of the file */
  bytes: number
  /** bytes of samples in the file */
  dataBytes: number
  levels: Levels
}

/**
 * Resolves to the format in the header of a recording; undefined if the header is not complete. Rejects with
 * FST_JAMBONZ_RECORDING_KEY or FST_JAMBONZ_RECORDING_DECRYPT if the header is encrypted and can't be decrypted.
 */
export async function readFormat(
  path: string,
  encryption: Encryption | undefined
): Promise<WavFormat | undefined> {
  return await withFile(path, async (fd) => {
    const cipher = await cipherOf(path, fd, encryption)
    const header = cipher ? (await openHeader(fd, cipher)).header : await readHeader(fd, 0)
    if (header === undefined) return undefined
    try {
      const { sampleRate, channels, bitsPerSample } = inspectWav(header)
      const ours = bitsPerSample === BITS && sampleRate > 0 && channels >= 1 && channels <= 2
      return ours ? { sampleRate, channels } : undefined
    } catch {
      return undefined
    }
  })
}

/**
 * Completes a recording's file that may end anywhere. A complete file does not change. Never follows a link.
 */
export async function repairAudio(
  path: string,
  format: WavFormat,
  encryption: Encryption | undefined
): Promise<RepairedAudio> {
  const levels = new Levels(format.channels)
  const { cipher, progress } = await withFile(path, async (fd) => {
    const ciphered = await cipherOf(path, fd, encryption)
    const read = ciphered ? readFrames(fd, ciphered, levels) : readSamples(path, fd, format, levels)
    return { cipher: ciphered, progress: await read }
  })
  if (progress !== 'whole') await complete(path, format, cipher ?? encryption, progress)
  return { bytes: (await lstat(path)).size, dataBytes: levels.bytes, levels }
}

/**
 * Completes the file after its valid part. `progress`: the valid part; undefined if the process died before
 * it had written the header.
 */
async function complete(
  path: string,
  format: WavFormat,
  encryption: FrameCipher | Encryption | undefined,
  progress: Progress | undefined
): Promise<void> {
  const fd = await openRegular(path, 'r+')
  const file =
    encryption === undefined || 'seal' in encryption
      ? new RecordingFile(path, fd, format, encryption)
      : await RecordingFile.create(path, fd, format, path.endsWith(ENCRYPTED_WAV) ? encryption : undefined)
  try {
    if (progress) file.continueAt(progress)
    else {
      await settled((done) => file.open(done))
    }
    await settled((done) => file.seal(done))
    if (MAY_FLUSH) await settled((done) => file.sync(done))
  } finally {
    await settled((done) => file.close(done))
  }
}

/**
 * Resolves to the file's cipher; undefined if the recording is not encrypted, or if its start is not
 * complete.
 */
async function cipherOf(
  path: string,
  fd: number,
  encryption: Encryption | undefined
): Promise<FrameCipher | undefined> {
  if (!path.endsWith(ENCRYPTED_WAV)) return undefined
  if (encryption === undefined) throw new ERR_RECORDING_KEY(path, 'recording.encryption is not set')
  const start = Buffer.alloc(FIRST_FRAME_AT)
  if ((await readFully(fd, start, start.length, 0)) < start.length) return undefined
  return await createCipher(path, start.subarray(0, PREAMBLE_BYTES), encryption)
}

async function readHeader(fd: number, at: number): Promise<Buffer | undefined> {
  const header = Buffer.alloc(WAV_HEADER_BYTES)
  return (await readFully(fd, header, header.length, at)) < header.length ? undefined : header
}

/**
 * Resolves to the `header` of an encrypted recording. Resolves to an `error` if the header can't be
 * decrypted, because the key is wrong or the header is damaged.
 */
async function openHeader(fd: number, cipher: FrameCipher): Promise<{ header?: Buffer; error?: unknown }> {
  const frame = await readFrame(fd, PREAMBLE_BYTES)
  if (frame === undefined) return {}
  try {
    return { header: cipher.open(0, frame.bytes) }
  } catch (error) {
    return { error }
  }
}

async function readSamples(
  path: string,
  fd: number,
  format: WavFormat,
  levels: Levels
): Promise<Progress | undefined> {
  const { size } = await lstat(path)
  if (size < WAV_HEADER_BYTES) return undefined
  const memory = new ArrayBuffer(LARGE_BLOCK)
  const bytes = Buffer.from(memory)
  const { dataBytes } = repairWav(format, size)
  for (let at = 0; at < dataBytes;) {
    const read = await readFully(fd, bytes, Math.min(LARGE_BLOCK, dataBytes - at), WAV_HEADER_BYTES + at)
    if (read === 0) break
    levels.add(new Int16Array(memory), read / Int16Array.BYTES_PER_ELEMENT)
    at += read
  }
  return { dataBytes: levels.bytes, bytes: WAV_HEADER_BYTES + levels.bytes, frames: 1 }
}

async function readFrames(fd: number, cipher: FrameCipher, levels: Levels): Promise<Progress | 'whole'> {
  // The header is rewritten often, so it may be damaged while the frames after it are intact. Its error
  // counts only if the first frame can't be decrypted, either.
  const { error } = await openHeader(fd, cipher)
  let at = FIRST_FRAME_AT
  for (let index = 1; ; index++) {
    const frame = await readFrame(fd, at)
    if (frame === undefined) {
      if (index === 1 && error !== undefined) throw asDecryptError(error)
      return { dataBytes: levels.bytes, bytes: at, frames: index }
    }
    let text: Buffer
    try {
      text = cipher.open(index, frame.bytes)
    } catch (cause) {
      // If neither header nor frame can be decrypted, the key is wrong.
      throw index === 1 && error !== undefined ? asDecryptError(error) : cause
    }
    if (frame.last) return 'whole'
    levels.add(new Int16Array(new Uint8Array(text).buffer), text.length / Int16Array.BYTES_PER_ELEMENT)
    at += frame.bytes.length
  }
}

function asDecryptError(error: unknown): Error {
  return isError(error) ? error : new ERR_RECORDING_DECRYPT(String(error))
}

/** Resolves to the frame at `at`; undefined if it does not exist or is not complete. */
async function readFrame(fd: number, at: number): Promise<{ bytes: Buffer; last: boolean } | undefined> {
  const head = Buffer.alloc(FRAME_HEAD_BYTES)
  if ((await readFully(fd, head, FRAME_HEAD_BYTES, at)) < FRAME_HEAD_BYTES) return undefined
  const { textBytes, last } = readFrameHead(head)
  const bytes = Buffer.alloc(textBytes + FRAME_OVERHEAD)
  return (await readFully(fd, bytes, bytes.length, at)) < bytes.length ? undefined : { bytes, last }
}
