import { firstMpegFrame } from './mpegFrames.js'

/** The kind of a file that is neither a WAV nor raw samples. */
export interface FileKind {
  /** follows "it is" */
  is: string
  /** what to do, other than asking for a WAV or raw samples */
  hint: string
}

/** bytes that are looked at: raw samples that look like text for so long are none */
const HEAD = 512
/** bytes that text must have at least, and how many different ones: raw samples may be a few, or one value throughout */
const MIN_TEXT = 16
const MIN_LETTERS = 6

const CONVERT = 'convert it (ffmpeg -i in -ac 1 -ar 16000 out.wav), or ask the speech service for it'
const FAILED = 'a server answered it in place of audio: check the status of its answer first'
const BASE64 = "decode it first: Buffer.from(text, 'base64')"

/** Beginnings of files in hexadecimal; two dots are any byte. */
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

/** Returns what a file is, by its beginning, where it is neither a WAV nor may be raw samples; else undefined. */
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

// Three frames of ADTS in a row.
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
  /** too long, and of too many different letters, to be samples */
  isLong: boolean
  /** Nothing else was found where it was looked for. */
  isAll: boolean
}

// Returns the text that a file begins with; '' where it may be samples.
function textOf(head: Buffer, fileLength: number): Text {
  const isWide = head[0] === 0xff && head[1] === 0xfe
  const all = isWide
    ? head.toString('utf16le', 2, head.length - (head.length % 2))
    : head.toString().replace(/^\ufeff/, '')
  const pattern = isWide ? /^[\s\x20-\x7e]*/ : /^[\t\n\r\x20-\x7e\u00a0-\ud7ff\ue000-\ufffc]*/
  const [found = ''] = pattern.exec(all) ?? []
  // A letter of several bytes may be cut at the end of what was looked at.
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
