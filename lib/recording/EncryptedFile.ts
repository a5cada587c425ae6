import { inTurn, type AudioFile } from './AudioFile.js'
import { FRAME_OVERHEAD, PREAMBLE_BYTES, type FrameCipher } from './cipher.js'
import { GrowingFile } from './GrowingFile.js'
import type { Done } from './Output.js'
import { buildWavHeader, WAV_HEADER_BYTES, type WavFormat } from '../pcm/wavHeader.js'

/** Where the first frame of samples begins. */
export const FIRST_FRAME_AT = PREAMBLE_BYTES + FRAME_OVERHEAD + WAV_HEADER_BYTES
const NOTHING = Buffer.alloc(0)

/** A WAV file of which only ciphertext touches the disk: what is appended at once is one frame. */
export class EncryptedFile implements AudioFile {
  readonly #file: GrowingFile
  readonly #format: WavFormat
  readonly #cipher: FrameCipher
  #dataBytes = 0
  #frames = 1

  /** `fd`: of the file, open to be read and written */
  constructor(path: string, fd: number, format: WavFormat, cipher: FrameCipher) {
    this.#file = new GrowingFile(path, fd)
    this.#format = format
    this.#cipher = cipher
  }

  get path(): string {
    return this.#file.path
  }

  get bytes(): number {
    return this.#file.size
  }

  get dataBytes(): number {
    return this.#dataBytes
  }

  open(done: Done): void {
    const start = Buffer.concat([this.#cipher.preamble, this.#header()])
    this.#file.append(start, start.length, done)
  }

  /** So many frames are there already, which take so many bytes. */
  continueAt(frames: number, dataBytes: number, size: number): void {
    this.#frames = frames
    this.#dataBytes = dataBytes
    this.#file.continueAt(size)
  }

  append(chunk: Buffer, length: number, done: Done): void {
    const frame = this.#cipher.seal(this.#frames, chunk.subarray(0, length))
    this.#file.append(frame, frame.length, (error) => {
      if (!error) {
        this.#frames++
        this.#dataBytes += length
      }
      done(error)
    })
  }

  patchHeader(done: Done): void {
    this.#file.writeAt(this.#header(), PREAMBLE_BYTES, done)
  }

  seal(done: Done): void {
    const last = this.#cipher.seal(this.#frames, NOTHING, true)
    inTurn(
      [
        (trimmed) => {
          this.#file.trim(trimmed)
        },
        (patched) => {
          this.patchHeader(patched)
        },
        (written) => {
          this.#file.append(last, last.length, written)
        }
      ],
      done
    )
  }

  hash(): Promise<string> {
    return this.#file.hash()
  }

  sync(done: Done): void {
    this.#file.sync(done)
  }

  look(done: Done): void {
    this.#file.look(done)
  }

  close(done: Done): void {
    this.#file.close(done)
  }

  #header(): Buffer {
    return this.#cipher.seal(0, buildWavHeader(this.#format, this.#dataBytes))
  }
}
