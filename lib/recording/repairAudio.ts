import { open, stat, type FileHandle } from 'node:fs/promises'
import { ERR_RECORDING_KEY } from '../model/errors.js'
import { settled, type AudioFile } from './AudioFile.js'
import { LARGE_BLOCK } from './blocks.js'
import { FRAME_HEAD_BYTES, FRAME_OVERHEAD, keyIdOf, PREAMBLE_BYTES, readFrameHead } from './cipher.js'
import { createAudioFile, createCipher } from './createAudioFile.js'
import { EncryptedFile, FIRST_FRAME_AT } from './EncryptedFile.js'
import { openFile } from './files.js'
import { Levels } from '../pcm/Levels.js'
import type { Encryption } from './options.js'
import { ENCRYPTED_WAV } from './paths.js'
import { repairWav, WAV_HEADER_BYTES, type WavFormat } from '../pcm/wavHeader.js'
import { WavFile } from './WavFile.js'

export interface RepairedAudio {
  /** of the file */
  bytes: number
  /** of samples */
  dataBytes: number
  levels: Levels
}

/** Makes a whole file of one that was cut off anywhere, or that is whole already. */
export async function repairAudio(
  path: string,
  format: WavFormat,
  encryption: Encryption | undefined
): Promise<RepairedAudio> {
  const { size } = await stat(path)
  const levels = new Levels(format.channels)
  const encrypted = path.endsWith(ENCRYPTED_WAV)
  if (encrypted && encryption === undefined) {
    throw new ERR_RECORDING_KEY(path, 'recording.encryption is not set')
  }
  const file =
    size < (encrypted ? FIRST_FRAME_AT : WAV_HEADER_BYTES)
      ? await begin(path, format, encryption)
      : encrypted && encryption
        ? await readFrames(path, format, encryption, levels)
        : await readSamples(path, format, levels)
  if (file !== undefined) {
    await settled((done) => {
      file.seal(done)
    })
    await settled((done) => {
      file.sync(done)
    })
    await settled((done) => {
      file.close(done)
    })
  }
  return { bytes: (await stat(path)).size, dataBytes: levels.bytes, levels }
}

/** Its process died before it had a header. */
async function begin(
  path: string,
  format: WavFormat,
  encryption: Encryption | undefined
): Promise<AudioFile> {
  const file = await createAudioFile(path, await openFile(path, 'r+'), format, {
    encryption: path.endsWith(ENCRYPTED_WAV) ? encryption : undefined
  })
  await settled((done) => {
    file.open(done)
  })
  return file
}

async function readSamples(path: string, format: WavFormat, levels: Levels): Promise<AudioFile> {
  const memory = new ArrayBuffer(LARGE_BLOCK)
  const bytes = Buffer.from(memory)
  await withFile(path, async (file) => {
    const { dataBytes } = repairWav(format, (await file.stat()).size)
    for (let at = 0; at < dataBytes;) {
      const read = await readFully(file, bytes, Math.min(LARGE_BLOCK, dataBytes - at), WAV_HEADER_BYTES + at)
      levels.add(new Int16Array(memory), read / Int16Array.BYTES_PER_ELEMENT)
      at += read
    }
  })
  const wav = new WavFile(path, await openFile(path, 'r+'), format)
  wav.continueAt(levels.bytes)
  return wav
}

/** Undefined when the file is whole. */
async function readFrames(
  path: string,
  format: WavFormat,
  encryption: Encryption,
  levels: Levels
): Promise<AudioFile | undefined> {
  return await withFile(path, async (file) => {
    const preamble = Buffer.alloc(PREAMBLE_BYTES)
    await readFully(file, preamble, PREAMBLE_BYTES, 0)
    const cipher = await createCipher(path, preamble, { ...encryption, keyId: keyIdOf(preamble) })
    let at = FIRST_FRAME_AT
    let index = 1
    for (; ; index++) {
      const frame = await readFrame(file, at)
      if (frame === undefined) break
      const text = cipher.open(index, frame.bytes)
      if (frame.last) return undefined
      levels.add(new Int16Array(new Uint8Array(text).buffer), text.length / Int16Array.BYTES_PER_ELEMENT)
      at += frame.bytes.length
    }
    const encrypted = new EncryptedFile(path, await openFile(path, 'r+'), format, cipher)
    encrypted.continueAt(index, levels.bytes, at)
    return encrypted
  })
}

/** Undefined when it is not there, or not whole. */
async function readFrame(
  file: FileHandle,
  at: number
): Promise<{ bytes: Buffer; last: boolean } | undefined> {
  const head = Buffer.alloc(FRAME_HEAD_BYTES)
  if ((await readFully(file, head, FRAME_HEAD_BYTES, at)) < FRAME_HEAD_BYTES) return undefined
  const { textBytes, last } = readFrameHead(head)
  const bytes = Buffer.alloc(textBytes + FRAME_OVERHEAD)
  return (await readFully(file, bytes, bytes.length, at)) < bytes.length ? undefined : { bytes, last }
}

async function readFully(file: FileHandle, into: Buffer, length: number, at: number): Promise<number> {
  let read = 0
  while (read < length) {
    const { bytesRead } = await file.read(into, read, length - read, at + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return read
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, 'r')
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
