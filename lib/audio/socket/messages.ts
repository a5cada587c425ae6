import { kindOf } from '../../model/checkOptions.js'
import { isObject } from '../../model/json.js'
import type { DtmfEvent, MarkEvent } from './types.js'

/** maximum bytes of a text that is parsed; jambonz' texts have less than 8,192, its limit of the metadata */
const MAX_TEXT = 262_144
/**
 * Maximum number of texts that are read within one second. A clear causes at most 30 texts, one for each
 * mark.
 */
const MAX_TEXTS_PER_SECOND = 500
/**
 * jambonz gives the length of a key in samples of 8 kHz, whatever the call's rate (feature-server lib/tasks/listen.js).
 */
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

/** Returns why jambonz must not get a message of the application; undefined if it may get the message. */
export function refusalOf(message: unknown): string | undefined {
  if (!isObject(message)) {
    const advice = typeof message === 'string' ? ': pass the object itself, without JSON.stringify()' : ''
    return `${kindOf(message)} is no JSON object, and jambonz would ignore it${advice}`
  }
  const { type, data } = message
  if (type !== 'playAudio' || (isObject(data) && typeof data.audioContentType === 'string')) return undefined
  return "a playAudio without data.audioContentType would crash jambonz' media server: use stream.play()"
}

/** The methods of a stream for the messages that jambonz knows. Only after these methods, the plugin knows what is heard. */
const METHODS: ReadonlyMap<unknown, string> = new Map([
  ['playAudio', 'play()'],
  ['killAudio', 'clear()'],
  ['mark', 'mark()'],
  ['clearMarks', 'clearMarks()'],
  ['disconnect', 'disconnect()'],
  ['error', 'disconnect()']
])

/** Returns the method of a stream that the application should call in place of sending the message. */
export function methodFor(message: unknown): string | undefined {
  return isObject(message) ? METHODS.get(message.type) : undefined
}

// The text frames of jambonz, from feature-server lib/tasks/listen.js and mod_audio_fork (send_mark_event):
//   {"event":"dtmf","dtmf":"5","duration":"1600"}
//   {"type": "mark", "data": {"name":"m1", "event": "playout"}}
//   {"type":"playDone","data":{"id":"x1","playbackSeconds":"0","playbackMilliseconds":"300",
//     "playbackLastOffsetPos":"2400"}}
/** Parses a text frame. Never throws. */
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

/**
 * Parses the first frame, which has attributes of the call and the verb's metadata. Returns undefined if the
 * frame is no JSON object.
 */
export function readMetadata(text: Buffer): Record<string, unknown> | undefined {
  return text.length > MAX_TEXT ? undefined : parseObject(text)
}

/** Matches the fields of a broken first frame that name the call and the listen, and describe the audio. */
const SALVAGED =
  /"(callSid|parentCallSid|mixType|jambonzListenId|sampleRate)"\s*:\s*(?:"([^"\\]{1,200})"|(\d{1,6})(?=\s*[,}]))/g

/**
 * Returns the fields of a first frame that is no JSON, because a stray quote follows the JSON, a word or a
 * byte order mark precedes it, or the frame is cut. Returns undefined if the frame names no call.
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

/** Returns the text of a command to jambonz. */
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

// jambonz writes numbers as strings.
function toNumber(value: unknown): number {
  const number = typeof value === 'string' || typeof value === 'number' ? Number(value) : 0
  return Number.isFinite(number) ? number : 0
}

const SECOND = 1000

/** The last key that the caller pressed. */
export interface PressedKey {
  digit: string
  /** ms, as of `performance.now()` */
  at: number
  isPrivate: boolean
}

/** Reads the text frames of one socket, at most 500 a second, and remembers the last key. */
export class TextReader {
  key: PressedKey | undefined
  readonly #warn: (text: string) => void
  #since = 0
  #count = 0
  #invalid = false

  /** `warn`: called once for text that is no message, and once a second while there is too much text. */
  constructor(warn: (text: string) => void) {
    this.#warn = warn
  }

  /**
   * Returns the message of a text frame; undefined if the frame is ignored. `now`: ms. `isPrivate`: true if
   * the call is private, so that a key in the frame is private, too.
   */
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

  // Counts a text frame. Returns false if this second had too many of them.
  #allows(now: number): boolean {
    if (now - this.#since >= SECOND) {
      this.#since = now
      this.#count = 0
    }
    this.#count++
    if (this.#count === MAX_TEXTS_PER_SECOND + 1) {
      this.#warn(
        `jambonz floods the socket with text: messages above ${MAX_TEXTS_PER_SECOND} a second are ignored`
      )
    }
    return this.#count <= MAX_TEXTS_PER_SECOND
  }
}
