/** The kind of a file that is neither a WAV nor raw samples. */
export interface FileKind {
  /** the kind in words, for a sentence that begins with "it is" */
  is: string
  /** what to do, other than asking for a WAV or raw samples */
  hint: string
}

/** bytes at the start of a file that are examined; so many raw samples never look like text */
const HEAD = 512
/**
 * Minimum length of a text, and minimum number of different letters in it. A few samples, or constant
 * samples, may look like a shorter text.
 */
const MIN_TEXT = 16
const MIN_LETTERS = 6

const CONVERT = 'convert it (ffmpeg -i in -ac 1 -ar 16000 out.wav), or ask the speech service for it'
const FAILED = 'a server answered it in place of audio: check the status of its answer first'
const BASE64 = "decode it first: Buffer.from(text, 'base64')"

/** The first bytes of files, in hexadecimal; two dots stand for any byte. */
const SIGNATURES: ReadonlyArray<[RegExp, string]> = [
  [/^494433/, 'MP3 with an ID3 tag'],
  [/^4f676753/, 'Ogg (Opus or Vorbis)'],
  [/^664c6143/, 'FLAC'],
  [/^.{8}66747970/, 'MP4 or M4A'],
  [/^464f524d/, 'AIFF'],
  [/^2e736e64/, 'AU'],
  [/^2321414d52/, 'AMR'],
  [/^1a45dfa3/, 'WebM or Matroska'],
  [/^63616666000[12]/, 'CAF'],
  [/^52494658/, 'a big-endian WAV (RIFX)'],
  [/^(52494646|52463634|42573634).{8}(?!57415645)/, 'RIFF, but no WAVE'],
  [/^3026b2758e66cf11/, 'WMA or ASF'],
  [/^7776706b/, 'WavPack'],
  [/^4d546864/, 'MIDI'],
  [/^1f8b08[01]/, 'gzip'],
  [/^504b0304/, 'a zip archive'],
  [/^255044462d/, 'a PDF']
]

/** Returns the kind of a file, from its first bytes; undefined for a WAV, or if it may be raw samples. */
export function otherKindOf(file: Uint8Array): FileKind | undefined {
  const head = Buffer.from(file.buffer, file.byteOffset, Math.min(file.length, HEAD))
  const hex = head.toString('hex', 0, 16)
  const signature = SIGNATURES.find(([pattern]) => pattern.test(hex))
  if (signature !== undefined) return { is: signature[1], hint: CONVERT }
  const frame = firstMpegFrame(file)
  if (frame !== undefined) return { is: `MP${frame.layer}`, hint: CONVERT }
  if (isAdts(file)) return { is: 'AAC', hint: CONVERT }
  return kindOfText(textOf(head, file.length))
}

// Returns true for three ADTS frames in a row.
function isAdts(file: Uint8Array): boolean {
  let at = 0
  for (let count = 0; count < 3; count++) {
    const [sync = 0, kind = 0, , high = 0, middle = 0, low = 0] = file.subarray(at, at + 6)
    const length = ((high & 3) << 11) | (middle << 3) | (low >> 5)
    if (sync !== 0xff || (kind & 0xf6) !== 0xf0 || length < 8) return false
    at += length
  }
  return true
}

interface Text {
  text: string
  /** true if the text is too long, with too many different letters, to be samples */
  isLong: boolean
  /** true if all bytes that were read are text */
  isAll: boolean
}

// Returns the text that a file begins with; an empty text if it may be samples.
function textOf(head: Buffer, fileLength: number): Text {
  const isWide = head[0] === 0xff && head[1] === 0xfe
  const all = isWide
    ? head.toString('utf16le', 2, head.length - (head.length % 2))
    : head.toString().replace(/^\ufeff/, '')
  const pattern = isWide ? /^[\s\x20-\x7e]*/ : /^[\t\n\r\x20-\x7e\u00a0-\ud7ff\ue000-\ufffc]*/
  const [found = ''] = pattern.exec(all) ?? []
  // A letter of several bytes may be cut at the end of the bytes that were read.
  const isAll = found.length >= all.replace(/\ufffd{1,3}$/, '').length
  const text = found.replace(/^\s*\ufeff?\s*/, '').trimEnd()
  const isLong = text.length >= MIN_TEXT && new Set(text).size >= MIN_LETTERS
  const isShortFile = isAll && fileLength <= HEAD
  return { text: isLong || isShortFile ? text : '', isLong, isAll }
}

function kindOfText({ text, isLong, isAll }: Text): FileKind | undefined {
  if (/^<(!doctype\s+html|html|head|body)\b/i.test(text) || /<html[\s>]/i.test(text)) {
    return { is: 'an HTML page', hint: FAILED }
  }
  if (/^<[?!/a-z]/i.test(text)) return { is: 'XML', hint: FAILED }
  if (/^\{\s*["}]/.test(text) || (isLong && /^(\[\s*["{[\]\d-]|")/.test(text)) || isJson(text)) {
    return { is: 'JSON', hint: FAILED }
  }
  if (!isLong) return undefined
  if (/^data:[^,]*;base64,/i.test(text)) return { is: 'a data url', hint: BASE64 }
  if (/^[\w+/-]+(\r?\n[\w+/-]+)*={0,2}$/.test(text)) {
    return { is: text.startsWith('UklGR') ? 'the base64 text of a WAV' : 'base64 text', hint: BASE64 }
  }
  return isAll ? { is: 'text', hint: FAILED } : undefined
}

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) !== 'number'
  } catch {
    return false
  }
}

/** The header of an MPEG audio frame, parsed. */
export interface MpegFrame {
  /** 1: MP1, 2: MP2, 3: MP3 */
  layer: number
  /** Hz */
  sampleRate: number
  /** bytes, header included */
  length: number
}

/**
 * Returns the first frame of MPEG audio (MP3, MP2, MP1), behind an ID3 tag if there is one; undefined for anything
 * else.
 */
export function findMpegAudio(file: Uint8Array): MpegFrame | undefined {
  return firstMpegFrame(file.subarray(endOfId3(file)))
}

const HEADER = 4
/** Number of MPEG frames in a row that raw samples never contain by chance. */
const ENOUGH = 4
/** Number of frames in a row that are enough if the file ends after them. */
const LEAST = 2
/** Hz of MPEG-1; halved for MPEG-2, and once more for 2.5 */
const RATES = [44_100, 48_000, 32_000]
/** kbit/s by the header's index, for layers 1, 2 and 3 of MPEG-1, layer 1 of MPEG-2, layers 2 and 3 of MPEG-2 */
const BIT_RATES = {
  '1/1': [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  '1/2': [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  '1/3': [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  '2/1': [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  '2/2': [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
}

/**
 * Returns the first MPEG audio frame of a file that begins with several in a row; undefined for other files.
 * A single frame proves nothing, since raw samples may look like a frame.
 */
export function firstMpegFrame(file: Uint8Array): MpegFrame | undefined {
  const first = readFrame(file, 0)
  // Raw PCM that repeats every four bytes can look like an MPEG header at each offset. If a second header
  // follows right after the first, the file is not MPEG.
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

/** Returns the index behind an ID3v2 tag at the beginning of a file; 0 if the file has no tag. */
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
