import { inTurn, type AudioFile } from './AudioFile.js'
import { GrowingFile } from './GrowingFile.js'
import type { Done } from './Output.js'
import { buildWavHeader, WAV_HEADER_BYTES, type WavFormat } from '../pcm/wavHeader.js'

/** A WAV file that grows, and can be played meanwhile. */
export class WavFile implements AudioFile {
  readonly #file: GrowingFile
  readonly #format: WavFormat

  /** `fd`: of the file, open to be read and written */
  constructor(path: string, fd: number, format: WavFormat) {
    this.#file = new GrowingFile(path, fd)
    this.#format = format
  }

  get path(): string {
    return this.#file.path
  }

  get bytes(): number {
    return this.#file.size
  }

  get dataBytes(): number {
    return Math.max(0, this.#file.size - WAV_HEADER_BYTES)
  }

  open(done: Done): void {
    const header = buildWavHeader(this.#format, 0)
    this.#file.append(header, header.length, done)
  }

  /** So many bytes of samples are there already. */
  continueAt(dataBytes: number): void {
    this.#file.continueAt(WAV_HEADER_BYTES + dataBytes)
  }

  append(chunk: Buffer, length: number, done: Done): void {
    this.#file.append(chunk, length, done)
  }

  patchHeader(done: Done): void {
    this.#file.writeAt(buildWavHeader(this.#format, this.dataBytes), 0, done)
  }

  seal(done: Done): void {
    inTurn(
      [
        (trimmed) => {
          this.#file.trim(trimmed)
        },
        (patched) => {
          this.patchHeader(patched)
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
}
