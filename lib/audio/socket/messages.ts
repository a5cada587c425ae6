import type { DtmfEvent, MarkEvent } from './types.js'

/** bytes of the longest text that is parsed. jambonz' own are under 8,192, its limit of the metadata. */
const MAX_TEXT = 262_144
/** Texts that are read within one second. A clear causes at most 30, one for each mark; more are a flood. */
const MAX_TEXTS_PER_SECOND = 500
/** jambonz gives the length of a key in samples of 8 kHz, whatever the call's rate (feature-server lib/tasks/listen.js). */
const DTMF_SAMPLES_PER_MS = 8

/** A text frame of jambonz, parsed. */
export type AudioMessage =
  | { type: 'dtmf'; dtmf: DtmfEvent }
  | { type: 'mark'; mark: MarkEvent }
  | { type: 'playDone'; id: unknown; playbackMs: number; lastOffset: number }
  | { type: 'other'; message: unknown }
  | { type: 'invalid'; reason: string }

/** A command to jambonz on the audio socket. */
export type AudioCommand =
  | {
      type: 'playAudio'
      data: {
        audioContentType: 'raw' | 'wav'
        sampleRate: number
        audioContent: string
        id: string
        queuePlay: boolean
      }
    }
  | { type: 'killAudio' }
  | { type: 'mark'; data: { name: string } }
  | { type: 'clearMarks' }
  | { type: 'disconnect' }

// jambonz -> us, feature-server lib/tasks/listen.js and mod_audio_fork (send_mark_event):
//   {"event":"dtmf","dtmf":"5","duration":"1600"}
//   {"type": "mark", "data": {"name":"m1", "event": "playout"}}
//   {"type":"playDone","data":{"id":"x1","playbackSeconds":"0","playbackMilliseconds":"300","playbackLastOffsetPos":"2400"}}
/** Reads a text frame. Never throws. */
export function readMessage(text: Buffer): AudioMessage {
  if (text.length > MAX_TEXT) return { type: 'invalid', reason: `${text.length} bytes of text` }
  const json = parseObject(text)
  if (json === undefined) return { type: 'invalid', reason: 'not a JSON object' }
  if (json.event === 'dtmf' && (typeof json.dtmf === 'string' || typeof json.dtmf === 'number')) {
    return {
      type: 'dtmf',
      dtmf: { digit: String(json.dtmf), durationMs: toNumber(json.duration) / DTMF_SAMPLES_PER_MS }
    }
  }
  const data = isObject(json.data) ? json.data : {}
  if (json.type === 'mark' && typeof data.name === 'string') {
    return {
      type: 'mark',
      mark: { name: data.name, event: data.event === 'cleared' ? 'cleared' : 'playout' }
    }
  }
  if (json.type === 'playDone') {
    return {
      type: 'playDone',
      id: data.id,
      playbackMs: toNumber(data.playbackMilliseconds),
      lastOffset: toNumber(data.playbackLastOffsetPos)
    }
  }
  return { type: 'other', message: json }
}

/** The first frame: the call's attributes and the verb's metadata, or undefined where the text arrived broken. */
export function readMetadata(text: Buffer): Record<string, unknown> | undefined {
  return text.length > MAX_TEXT ? undefined : parseObject(text)
}

/** The fields of a first frame that say whose audio it is, and how it is to be read. */
const SALVAGED =
  /"(callSid|parentCallSid|mixType|jambonzListenId|sampleRate)"\s*:\s*(?:"([^"\\]{1,200})"|(\d{1,6})(?=\s*[,}]))/g

/**
 * Returns what can be read of a first frame that is no JSON: a stray quote behind it, a word or a BOM before it, an end
 * that is missing. undefined where it names no call.
 */
export function salvageMetadata(text: Buffer): Record<string, unknown> | undefined {
  if (text.length > MAX_TEXT) return undefined
  const [from, to] = [text.indexOf('{'), text.lastIndexOf('}')]
  const whole = from >= 0 && to > from ? parseObject(text.subarray(from, to + 1)) : undefined
  if (typeof whole?.callSid === 'string') return whole
  const fields: Record<string, unknown> = {}
  for (const [, name = '', string, number] of text.toString().matchAll(SALVAGED)) {
    fields[name] ??= string ?? Number(number)
  }
  return typeof fields.callSid === 'string' ? fields : undefined
}

/** us -> jambonz. */
export function writeCommand(command: AudioCommand): string {
  return JSON.stringify(command)
}

function parseObject(text: Buffer): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(text.toString())
    return isObject(json) ? json : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

// jambonz writes its numbers as strings.
function toNumber(value: unknown): number {
  const number = typeof value === 'string' || typeof value === 'number' ? Number(value) : 0
  return Number.isFinite(number) ? number : 0
}

const SECOND = 1000

/** The key that was pressed last. */
export interface PressedKey {
  digit: string
  /** ms, as of `performance.now()` */
  at: number
  isPrivate: boolean
}

/** Reads the texts of one socket, bounds what they may cost, and remembers the last key. */
export class TextReader {
  key: PressedKey | undefined
  readonly #warn: (text: string) => void
  #since = 0
  #count = 0
  #invalid = false

  /** `warn`: told once of text that is no message, and once a second of a flood. */
  constructor(warn: (text: string) => void) {
    this.#warn = warn
  }

  /** Returns what a text says that came at `now` (ms); undefined: nothing that counts. `isPrivate`: it was said in private. */
  read(text: Buffer, now: number, isPrivate: boolean): AudioMessage | undefined {
    if (!this.#allows(now)) return undefined
    const message = readMessage(text)
    if (message.type === 'invalid') {
      if (!this.#invalid) this.#warn(`text from jambonz is ignored: ${message.reason}`)
      this.#invalid = true
      return undefined
    }
    if (message.type === 'dtmf') {
      this.key = { digit: message.dtmf.digit, at: now, isPrivate }
      if (isPrivate) message.dtmf.private = true
    }
    return message
  }

  // Without a timer.
  #allows(now: number): boolean {
    if (now - this.#since >= SECOND) {
      this.#since = now
      this.#count = 0
    }
    this.#count++
    if (this.#count === MAX_TEXTS_PER_SECOND + 1) {
      this.#warn('jambonz floods the socket with text: what is over 500 messages a second is ignored')
    }
    return this.#count <= MAX_TEXTS_PER_SECOND
  }
}
