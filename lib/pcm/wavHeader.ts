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
/** The value of a size field if the size is unknown, or is in the ds64 chunk. */
const UNKNOWN_SIZE = 0xffff_ffff
const LONG_RIFF = ['RF64', 'BW64']
const PCM = 1
const EXTENSIBLE = 0xfffe
/** Offset of the code of the samples in an extensible format, in bytes. */
const SUBFORMAT = 24

export interface WavFormat {
  /** Hz */
  sampleRate: number
  channels: number
}

export interface WavInfo extends WavFormat {
  bitsPerSample: number
  /** offset of the samples, bytes */
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
 * Returns the header of a WAV that is streamed, STREAM_HEADER_BYTES long. Its length is not known yet, so
 * both sizes are 0xffffffff, as ffmpeg writes them.
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

/** Returns true if a file is a WAV: RIFF, or RF64 or BW64, which may be longer than 4 GiB. */
export function isWav(file: Uint8Array): boolean {
  const head = Buffer.from(file.buffer, file.byteOffset, Math.min(file.byteLength, RIFF_CHUNK))
  return (
    ['RIFF', ...LONG_RIFF].includes(head.toString('latin1', 0, 4)) &&
    head.toString('latin1', 8, RIFF_CHUNK) === 'WAVE'
  )
}

/** The header of a WAV with samples of any format. */
export interface WavHeader extends WavInfo {
  /** code of the samples: 1 is PCM; of an extensible format, the code at SUBFORMAT */
  code: number
}

/**
 * Parses the header of a WAV. `head`: the first bytes of the file, up to the head of its data chunk. Throws
 * the error that `refusal` returns for a problem. The words of a problem follow the name of the file, as in
 * "ends before its data chunk".
 */
export function parseWavHeader(head: Buffer, refusal: (problem: string) => Error): WavHeader {
  if (head.length < RIFF_CHUNK) throw refusal('ends before its RIFF header does')
  if (!isWav(head)) throw refusal('does not begin with a RIFF or RF64 header')
  const rf64 = LONG_RIFF.includes(head.toString('latin1', 0, 4))
  let format: Pick<WavHeader, 'code' | 'channels' | 'sampleRate' | 'bitsPerSample'> | undefined
  let longData: number | undefined
  for (let at = RIFF_CHUNK; at + CHUNK_HEAD <= head.length;) {
    const id = head.toString('latin1', at, at + 4)
    const bytes = head.readUInt32LE(at + 4)
    const dataOffset = at + CHUNK_HEAD
    const body = head.subarray(dataOffset, dataOffset + bytes)
    if (id === 'data') {
      if (format === undefined) throw refusal('has samples before its fmt chunk')
      const dataBytes = bytes === UNKNOWN_SIZE ? longData : bytes || (longData ?? 0)
      return { ...format, dataOffset, dataBytes, rf64 }
    }
    if (id === 'ds64' && body.length >= 16) longData = Number(body.readBigUInt64LE(8))
    if (id === 'fmt ') {
      if (body.length < FMT_BODY) throw refusal('ends within its fmt chunk')
      format = readFormat(body)
    }
    at = dataOffset + bytes + (bytes % 2)
  }
  throw refusal('ends before its data chunk')
}

function readFormat(body: Buffer): Pick<WavHeader, 'code' | 'channels' | 'sampleRate' | 'bitsPerSample'> {
  const code = body.readUInt16LE(0)
  return {
    code: code === EXTENSIBLE && body.length >= SUBFORMAT + 2 ? body.readUInt16LE(SUBFORMAT) : code,
    channels: body.readUInt16LE(2),
    sampleRate: body.readUInt32LE(4),
    bitsPerSample: body.readUInt16LE(14)
  }
}

/** Parses the header of a PCM WAV. Throws an Error that says what is missing. */
export function inspectWav(head: Buffer): WavInfo {
  const { code, ...info } = parseWavHeader(head, (problem) => new Error(`the WAV ${problem}`))
  if (code !== PCM) throw new Error(`the samples of the WAV are not PCM (format ${code})`)
  return info
}

/** The values that repair a recording that was cut off at any byte. */
export interface WavRepair {
  header: Buffer
  /** bytes of complete samples */
  dataBytes: number
  /** bytes to which the file must be cut */
  fileBytes: number
}

/**
 * Returns the right header and length of a recording that a killed process left, which may end within a
 * sample.
 */
export function repairWav(format: WavFormat, fileBytes: number): WavRepair {
  const rest = Math.max(0, fileBytes - WAV_HEADER_BYTES)
  const dataBytes = rest - (rest % blockAlign(format))
  return { header: buildWavHeader(format, dataBytes), dataBytes, fileBytes: WAV_HEADER_BYTES + dataBytes }
}
