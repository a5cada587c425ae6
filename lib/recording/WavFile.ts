import { close, fdatasync, fstat, open, write, type NoParamCallback } from 'node:fs'
import { blockAlign, buildWavHeader, durationOf, WAV_HEADER_BYTES, type WavFormat } from './wav.js'

type Done = (error?: Error | null) => void

/**
 * A WAV file that grows. One operation at a time, each told of through a callback: promises would cost more than the
 * rest of a write. The descriptor is positional (`pwrite`), so the header is patched without seeking.
 */
export class WavFile {
  readonly path: string
  readonly #format: WavFormat
  #fd = -1
  #dataBytes = 0
  // the write under way
  #chunk: Buffer | undefined
  #from = 0
  #until = 0
  #done: Done = () => {}
  readonly #written = (error: Error | null, bytes: number): void => { this.#onWritten(error, bytes) }

  constructor (path: string, format: WavFormat) {
    this.path = path
    this.#format = format
  }

  /** bytes of samples in the file */
  get dataBytes (): number {
    return this.#dataBytes
  }

  get bytes (): number {
    return WAV_HEADER_BYTES + this.#dataBytes
  }

  get durationMs (): number {
    return durationOf(this.#format, this.#dataBytes)
  }

  /** Opens the file, which is empty, and gives it its header. */
  open (done: Done): void {
    open(this.path, 'r+', (error, fd) => {
      if (error) return done(error)
      this.#fd = fd
      this.patchHeader((failed) => {
        if (failed) this.close(() => { done(failed) })
        else done()
      })
    })
  }

  /** So many bytes of samples are there already. */
  continueAt (dataBytes: number): void {
    this.#dataBytes = dataBytes
  }

  /** Appends the first `length` bytes of `chunk`, which must stay as they are until `done`. */
  append (chunk: Buffer, length: number, done: Done): void {
    this.#chunk = chunk
    this.#from = 0
    this.#until = length
    this.#done = done
    this.#write()
  }

  /** Lets the header say how much is there. */
  patchHeader (done: Done): void {
    const whole = this.#dataBytes - this.#dataBytes % blockAlign(this.#format)
    const header = buildWavHeader(this.#format, whole)
    write(this.#fd, header, 0, header.length, 0, (error) => { done(error) })
  }

  sync (done: NoParamCallback): void {
    fdatasync(this.#fd, done)
  }

  /** Fails with ENOENT when the file is in no directory any more: what is written is lost as soon as it is closed. */
  look (done: Done): void {
    fstat(this.#fd, (error, file) => {
      done(error ?? (file.nlink === 0 ? Object.assign(new Error(`${this.path} was removed`), { code: 'ENOENT' }) : null))
    })
  }

  close (done: Done): void {
    const fd = this.#fd
    if (fd < 0) return done()
    this.#fd = -1
    close(fd, done)
  }

  #write (): void {
    if (this.#chunk === undefined) return
    write(this.#fd, this.#chunk, this.#from, this.#until - this.#from, WAV_HEADER_BYTES + this.#dataBytes, this.#written)
  }

  #onWritten (error: Error | null, bytes: number): void {
    if (error === null) {
      this.#dataBytes += bytes
      this.#from += bytes
      // a disk that is nearly full takes a part, and says ENOSPC to the rest
      if (this.#from < this.#until) return this.#write()
    }
    this.#chunk = undefined
    this.#done(error)
  }
}
