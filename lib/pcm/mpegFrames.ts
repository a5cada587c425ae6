/** The header of an MPEG audio frame, parsed. */
export interface MpegFrame {
  /** 1: MP1, 2: MP2, 3: MP3 */
  layer: number
  /** Hz */
  sampleRate: number
  /** bytes, header included */
  length: number
}

const HEADER = 4
/** Frames in a row that are no accident in raw samples. */
const ENOUGH = 4
/** Frames that are enough where the file ends behind them. */
const LEAST = 2
/** Hz of MPEG-1; halved for MPEG-2, and once more for 2.5 */
const RATES = [44_100, 48_000, 32_000]
/** kbit/s by the header's index, of MPEG-1's layers 1, 2 and 3, and MPEG-2's layer 1, layers 2 and 3 */
const BIT_RATES = {
  '1/1': [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  '1/2': [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  '1/3': [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  '2/1': [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  '2/2': [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
}

/**
 * Returns the first frame of a file that is a row of MPEG audio frames from its first byte, else undefined. Raw samples
 * may begin like a frame: only several in a row, each where the one before ends, are taken for a file.
 */
export function firstMpegFrame(file: Uint8Array): MpegFrame | undefined {
  const first = readFrame(file, 0)
  // A wave that repeats itself every four bytes is a header wherever one is looked for.
  if (first === undefined || readFrame(file, HEADER) !== undefined) return undefined
  let at = 0
  for (let count = 0; count < ENOUGH; count++) {
    const isAtEnd = at >= file.length - HEADER
    if (isAtEnd) return count >= LEAST ? first : undefined
    const frame = readFrame(file, at)
    if (frame?.layer !== first.layer || frame.sampleRate !== first.sampleRate) return undefined
    at += frame.length
  }
  return first
}

/** Returns the index behind an ID3v2 tag at the beginning of a file; 0 where there is none. */
export function endOfId3(file: Uint8Array): number {
  const [i = 0, d = 0, three = 0, version = 0, revision = 0, flags = 0, ...size] = file.subarray(0, 10)
  const isTag = i === 0x49 && d === 0x44 && three === 0x33 && version < 0xff && revision < 0xff
  if (!isTag || size.length < 4 || size.some((byte) => byte > 0x7f)) return 0
  const footer = flags & 0x10 ? 10 : 0
  return 10 + footer + size.reduce((sum, byte) => sum * 128 + byte)
}

function readFrame(file: Uint8Array, at: number): MpegFrame | undefined {
  const [sync = 0, kind = 0, rates = 0] = file.subarray(at, at + HEADER)
  const versionBits = (kind >> 3) & 3
  const layer = 4 - ((kind >> 1) & 3)
  if (sync !== 0xff || kind < 0xe0 || versionBits === 1 || layer === 4) return undefined
  const family = versionBits === 3 ? 1 : 2
  const key = `${family}/${family === 2 && layer === 3 ? 2 : layer}` as keyof typeof BIT_RATES
  const bitRate = BIT_RATES[key][rates >> 4] ?? 0
  const fullRate = RATES[(rates >> 2) & 3]
  if (bitRate === 0 || fullRate === undefined) return undefined
  const sampleRate = fullRate >> (versionBits === 3 ? 0 : versionBits === 2 ? 1 : 2)
  const padding = (rates >> 1) & 1
  if (layer === 1) {
    return { layer, sampleRate, length: 4 * (Math.floor((12_000 * bitRate) / sampleRate) + padding) }
  }
  const perKilobit = layer === 3 && family === 2 ? 72_000 : 144_000
  return { layer, sampleRate, length: Math.floor((perKilobit * bitRate) / sampleRate) + padding }
}
