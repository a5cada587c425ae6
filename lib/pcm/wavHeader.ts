import { ERR_RECORDING_FORMAT } from '../model/errors.js'
import { SAMPLE_BYTES } from './samples.js'

// The chunks of a header and their bytes. The second layout is for files above 4 GiB (EBU Tech 3306):
//   RIFF 12 | fmt 8 + 16 | JUNK 8 + 28 | data 8
//   RF64 12 | ds64 8 + 28 | fmt 8 + 16 | data 8
// JUNK is as large as ds64, so the header of a growing file can become RF64 in place. RF64 needs ds64 first; in RIFF,
// fmt comes first, as simple readers expect it.
const RIFF_CHUNK = 12
const DS64_BODY = 28
const FMT_BODY = 16
const CHUNK_HEAD = 8
const FMT_BYTES = CHUNK_HEAD + FMT_BODY
const RESERVE_BYTES = CHUNK_HEAD + DS64_BODY

/** Bytes before the first sample of a recording. */
export const WAV_HEADER_BYTES = RIFF_CHUNK + FMT_BYTES + RESERVE_BYTES + CHUNK_HEAD
/** Bytes before the first sample of a WAV that is streamed. */
export const STREAM_HEADER_BYTES = RIFF_CHUNK + FMT_BYTES + CHUNK_HEAD
/** The size field of a size that is unknown, or stands in the ds64 chunk. */
const UNKNOWN_SIZE = 0xffff_ffff
const PCM = 1
const EXTENSIBLE = 0xfffe

export interface WavFormat {
  /** Hz */
  sampleRate: number
  channels: number
}

export interface WavInfo extends WavFormat {
  bitsPerSample: number
  /** where the samples begin, bytes */
  dataOffset: number
  /** bytes of samples, as the header says; undefined if the header says that it is unknown */
  dataBytes: number | undefined
  rf64: boolean
}

/** Returns the bytes of one sample of every channel. */
export function blockAlign(format: WavFormat): number {
  return format.channels * SAMPLE_BYTES
}

/** Returns the ms that `bytes` of samples last. */
export function durationOf(format: WavFormat, bytes: number): number {
  return (bytes / blockAlign(format) / format.sampleRate) * 1000
}

/** Returns the bytes of the whole blocks that last `ms`. */
export function bytesOf(format: WavFormat, ms: number): number {
  return Math.round((ms * format.sampleRate) / 1000) * blockAlign(format)
}

/**
 * Returns the header of a WAV file of 16-bit PCM, WAV_HEADER_BYTES long. It is RF64 if the file is too long for RIFF.
 */
export function buildWavHeader(format: WavFormat, dataBytes: number): Buffer {
  const header = Buffer.alloc(WAV_HEADER_BYTES)
  const riffBytes = WAV_HEADER_BYTES - CHUNK_HEAD + dataBytes
  const rf64 = riffBytes >= UNKNOWN_SIZE
  writeRiff(header, rf64 ? 'RF64' : 'RIFF', rf64 ? UNKNOWN_SIZE : riffBytes)
  const ds64At = RIFF_CHUNK
  if (rf64) {
    writeChunkHead(header, ds64At, 'ds64', DS64_BODY)
    header.writeBigUInt64LE(BigInt(riffBytes), ds64At + 8)
    header.writeBigUInt64LE(BigInt(dataBytes), ds64At + 16)
    header.writeBigUInt64LE(BigInt(dataBytes / blockAlign(format)), ds64At + 24)
    writeFormat(header, RIFF_CHUNK + RESERVE_BYTES, format)
  } else {
    writeFormat(header, RIFF_CHUNK, format)
    writeChunkHead(header, RIFF_CHUNK + FMT_BYTES, 'JUNK', DS64_BODY)
  }
  writeChunkHead(header, WAV_HEADER_BYTES - CHUNK_HEAD, 'data', rf64 ? UNKNOWN_SIZE : dataBytes)
  return header
}

/**
 * Returns the header of a WAV that is streamed, STREAM_HEADER_BYTES long. Its length is not known yet: both sizes are
 * 0xffffffff, as ffmpeg writes them.
 */
export function buildStreamHeader(format: WavFormat): Buffer {
  const header = Buffer.alloc(STREAM_HEADER_BYTES)
  writeRiff(header, 'RIFF', UNKNOWN_SIZE)
  writeFormat(header, RIFF_CHUNK, format)
  writeChunkHead(header, STREAM_HEADER_BYTES - CHUNK_HEAD, 'data', UNKNOWN_SIZE)
  return header
}

function writeRiff(header: Buffer, id: 'RIFF' | 'RF64', bytes: number): void {
  header.write(id, 0, 'latin1')
  header.writeUInt32LE(bytes, 4)
  header.write('WAVE', 8, 'latin1')
}

function writeFormat(header: Buffer, at: number, format: WavFormat): void {
  writeChunkHead(header, at, 'fmt ', FMT_BODY)
  header.writeUInt16LE(PCM, at + 8)
  header.writeUInt16LE(format.channels, at + 10)
  header.writeUInt32LE(format.sampleRate, at + 12)
  header.writeUInt32LE(format.sampleRate * blockAlign(format), at + 16)
  header.writeUInt16LE(blockAlign(format), at + 20)
  header.writeUInt16LE(SAMPLE_BYTES * 8, at + 22)
}

function writeChunkHead(header: Buffer, at: number, id: string, bytes: number): void {
  header.write(id, at, 'latin1')
  header.writeUInt32LE(bytes, at + 4)
}

/**
 * Parses the header of any PCM WAV or RF64 file. `head`: the first bytes of the file, down to the head of its data
 * chunk. Throws FST_JAMBONZ_RECORDING_FORMAT, which says what is missing.
 */
export function inspectWav(head: Buffer): WavInfo {
  if (head.length < RIFF_CHUNK) throw new ERR_RECORDING_FORMAT('it ends before its RIFF header does')
  const riff = head.toString('latin1', 0, 4)
  if ((riff !== 'RIFF' && riff !== 'RF64') || head.toString('latin1', 8, 12) !== 'WAVE') {
    throw new ERR_RECORDING_FORMAT('it does not begin with a RIFF or RF64 header')
  }
  let format: Omit<WavInfo, 'dataOffset' | 'dataBytes'> | undefined
  let longData: number | undefined
  for (let at = RIFF_CHUNK; at + CHUNK_HEAD <= head.length;) {
    const id = head.toString('latin1', at, at + 4)
    const bytes = head.readUInt32LE(at + 4)
    const body = at + CHUNK_HEAD
    if (id === 'data') {
      if (format === undefined) throw new ERR_RECORDING_FORMAT('it has samples before its fmt chunk')
      return { ...format, dataOffset: body, dataBytes: bytes === UNKNOWN_SIZE ? longData : bytes }
    }
    if (body + bytes > head.length) break
    if (id === 'ds64' && bytes >= 16) longData = Number(head.readBigUInt64LE(body + 8))
    if (id === 'fmt ' && bytes >= FMT_BODY) format = readFormat(head, body, riff === 'RF64')
    at = body + bytes + (bytes % 2)
  }
  throw new ERR_RECORDING_FORMAT('it ends before its data chunk')
}

function readFormat(head: Buffer, body: number, rf64: boolean): Omit<WavInfo, 'dataOffset' | 'dataBytes'> {
  const tag = head.readUInt16LE(body)
  if (tag !== PCM && tag !== EXTENSIBLE) {
    throw new ERR_RECORDING_FORMAT(`its samples are not PCM (format ${tag})`)
  }
  return {
    channels: head.readUInt16LE(body + 2),
    sampleRate: head.readUInt32LE(body + 4),
    bitsPerSample: head.readUInt16LE(body + 14),
    rf64
  }
}

/** The repair of a recording that was cut off at any byte. */
export interface WavRepair {
  header: Buffer
  /** bytes of complete samples */
  dataBytes: number
  /** bytes to which the file must be cut */
  fileBytes: number
}

/** Returns the right header and length of a recording that a killed process left. It may end within a sample. */
export function repairWav(format: WavFormat, fileBytes: number): WavRepair {
  const rest = Math.max(0, fileBytes - WAV_HEADER_BYTES)
  const dataBytes = rest - (rest % blockAlign(format))
  return { header: buildWavHeader(format, dataBytes), dataBytes, fileBytes: WAV_HEADER_BYTES + dataBytes }
}
