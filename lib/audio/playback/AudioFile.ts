import { types } from 'node:util'
import { kindOf } from '../../model/checkOptions.js'
import { ERR_AUDIO_FILE } from '../../model/errors.js'
import { findMpegAudio, otherKindOf } from '../../pcm/fileKind.js'
import { decodeMp3 } from '../../pcm/mp3.js'
import { openWav, type Frames } from '../../pcm/readWav.js'
import { isWav } from '../../pcm/wavHeader.js'
import { SoundResampler } from '../../pcm/Resampler.js'
import { bytesOf, SAMPLE_BYTES, samplesOf } from '../../pcm/samples.js'
import { writeCommand } from '../socket/messages.js'

/**
 * Hz of raw audio that every FreeSWITCH plays correctly. FreeSWITCH takes a file of 24,000 Hz, `.r24`, for
 * 24-bit samples.
 */
const SAFE_RATES = [8000, 16_000]
/** maximum bytes of one file: 8 minutes at 16 kHz */
const MAX_FILE = 15_728_640
/** Limits of the work in one turn of the event loop, about 1 ms: in sample frames, and in bytes. */
const TURN_FRAMES = 8_192
const TURN_BYTES = 65_536
/** bytes that four letters of base64 encode */
const BASE64_GROUP = 3

/** maximum seconds of an MP3, whose samples at 16 kHz are then as large as MAX_FILE */
const MAX_MP3_SECONDS = 480

/** A file to play, as WAV, raw L16 or MP3. jambonz gets it as raw L16 at `sampleRate`. */
export class AudioFile {
  /** Hz */
  readonly sampleRate: number
  #frames: Frames | undefined
  readonly #mp3: Uint8Array | undefined

  /** `rate`: Hz of raw samples. Throws FST_JAMBONZ_AUDIO_FILE for a file that can't be played. */
  constructor(audio: Uint8Array, rate: number) {
    const file = copyOf(audio)
    const mpeg = isWav(file) ? undefined : findMpegAudio(file)
    this.#mp3 = mpeg && file
    this.#frames = mpeg ? undefined : open(file, rate)
    if (this.#frames?.length === 0) throw new ERR_AUDIO_FILE('it has no samples')
    const given = mpeg?.sampleRate ?? this.#frames?.sampleRate ?? rate
    this.sampleRate = SAFE_RATES.includes(given) ? given : given > 8000 ? 16_000 : 8000
  }

  /** ms; 0 for an MP3 that has not been decoded */
  get durationMs(): number {
    return this.#frames ? (this.#frames.length / this.#frames.sampleRate) * 1000 : 0
  }

  /**
   * Resolves to the text of a `playAudio` command, or to undefined once `isDropped()` returns true. Rejects
   * with FST_JAMBONZ_AUDIO_FILE for an MP3 that can't be decoded. Converts the file in small parts, since a
   * whole minute of music takes 100 ms, and would block all calls for so long.
   */
  async toCommand(id: string, isDropped: () => boolean): Promise<Buffer | undefined> {
    const frames = await this.#opened(isDropped)
    if (frames === undefined) return undefined
    const { sampleRate } = this
    const resampler =
      frames.sampleRate === sampleRate ? undefined : new SoundResampler(frames.sampleRate, sampleRate)
    const step = Math.max(1, Math.min(TURN_FRAMES, Math.floor(TURN_BYTES / frames.frameBytes)))
    const [head, tail] = frameOfCommand(id, sampleRate)
    const base64 = new Base64Writer()
    for (let from = 0; from < frames.length; from += step) {
      await nextTurn()
      if (isDropped()) return undefined
      const samples = frames.read(from, Math.min(frames.length, from + step))
      base64.add(bytesOf(resampler ? resampler.process(samples) : samples))
    }
    if (resampler) base64.add(bytesOf(resampler.end()))
    return Buffer.concat([head, ...base64.end(), tail])
  }

  async #opened(isDropped: () => boolean): Promise<Frames | undefined> {
    if (this.#frames === undefined && this.#mp3) {
      this.#frames = await decodeMp3(this.#mp3, { maxSeconds: MAX_MP3_SECONDS, nextTurn, isDropped })
    }
    return this.#frames
  }
}

/** Encodes bytes as base64, piece by piece. */
class Base64Writer {
  readonly #written: Buffer[] = []
  #rest: Buffer = Buffer.alloc(0)

  add(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    const whole = all.length - (all.length % BASE64_GROUP)
    this.#written.push(Buffer.from(all.toString('base64', 0, whole), 'latin1'))
    this.#rest = Buffer.from(all.subarray(whole))
  }

  end(): Buffer[] {
    return [...this.#written, Buffer.from(this.#rest.toString('base64'), 'latin1')]
  }
}

function frameOfCommand(id: string, sampleRate: number): [head: Buffer, tail: Buffer] {
  const text = writeCommand({
    type: 'playAudio',
    data: { audioContentType: 'raw', sampleRate, audioContent: '', id, queuePlay: false }
  })
  const field = '"audioContent":"'
  const at = text.indexOf(field) + field.length
  return [Buffer.from(text.slice(0, at)), Buffer.from(text.slice(at))]
}

/** Returns a copy of a file, which is read later, when the application may have reused the memory. */
function copyOf(audio: Uint8Array): Buffer {
  if (!types.isUint8Array(audio)) {
    throw new ERR_AUDIO_FILE(`it is ${kindOf(audio)}; pass its bytes, as readFile() gives them`)
  }
  if (audio.length > MAX_FILE) {
    throw new ERR_AUDIO_FILE(
      `${audio.length} bytes are more than the ${MAX_FILE} of one file; play it in parts with queue: true`
    )
  }
  return Buffer.from(audio)
}

function open(file: Buffer, rate: number): Frames {
  if (isWav(file)) return openWav(file)
  const other = otherKindOf(file)
  if (other !== undefined) {
    throw new ERR_AUDIO_FILE(`it is ${other.is}; pass a WAV or raw L16: ${other.hint}`)
  }
  return {
    sampleRate: rate,
    frameBytes: SAMPLE_BYTES,
    length: Math.floor(file.length / SAMPLE_BYTES),
    read: (from, to) => samplesOf(file.subarray(from * SAMPLE_BYTES, to * SAMPLE_BYTES))
  }
}

const waiting: Array<() => void> = []

/**
 * Resolves when it is this task's turn. One waiting task gets a turn in each round of the event loop. A long task waits
 * for a turn before each small part of its work, so that it does not block the calls.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve)
    if (waiting.length === 1) setImmediate(giveTurn)
  })
}

function giveTurn(): void {
  waiting[0]?.()
  waiting.shift()
  if (waiting.length > 0) setImmediate(giveTurn)
}
