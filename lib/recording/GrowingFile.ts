import { close, fdatasync, fstat, ftruncate, write } from 'node:fs'
import { hashFile } from './hash.js'
import type { Done } from './Output.js'

/**
 * A file that is appended to, and patched. One operation at a time, each told of through a callback: promises would
 * cost more than the rest of a write. Writes are positional (`pwrite`), so patching needs no seeking.
 */
export class GrowingFile {
  readonly path: string
  #fd: number
  #size = 0
  // the append under way
  #chunk: Buffer | undefined
  #torn = false
  #from = 0
  #until = 0
  #done: Done = () => {}
  readonly #written = (error: Error | null, bytes: number): void => {
    this.#onWritten(error, bytes)
  }

  /** `fd`: of the file, open to be read and written */
  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  /** bytes; what an append that failed left behind does not count */
  get size(): number {
    return this.#size
  }

  /** So many bytes are there already; more are of no use. */
  continueAt(size: number): void {
    this.#size = size
    this.#torn = true
  }

  /** Appends the first `length` bytes of `chunk`, which must stay as they are until `done`: all, or none of it. */
  append(chunk: Buffer, length: number, done: Done): void {
    this.#chunk = chunk
    this.#from = 0
    this.#until = length
    this.#done = done
    this.#write()
  }

  writeAt(bytes: Buffer, at: number, done: Done): void {
    write(this.#fd, bytes, 0, bytes.length, at, (error) => {
      done(error)
    })
  }

  /** Takes away what an append that failed left behind. */
  trim(done: Done): void {
    if (!this.#torn) return done()
    ftruncate(this.#fd, this.#size, done)
  }

  /** Hashes all of it. */
  async hash(): Promise<string> {
    return await hashFile(this.#fd)
  }

  sync(done: Done): void {
    fdatasync(this.#fd, done)
  }

  /** Fails with ENOENT when the file is in no directory any more: what is written is lost as soon as it is closed. */
  look(done: Done): void {
    fstat(this.#fd, (error, file) => {
      done(
        error ??
          (file.nlink === 0 ? Object.assign(new Error(`${this.path} was removed`), { code: 'ENOENT' }) : null)
      )
    })
  }

  close(done: Done): void {
    const fd = this.#fd
    if (fd < 0) return done()
    this.#fd = -1
    close(fd, done)
  }

  #write(): void {
    if (this.#chunk === undefined) return
    write(this.#fd, this.#chunk, this.#from, this.#until - this.#from, this.#size + this.#from, this.#written)
  }

  #onWritten(error: Error | null, bytes: number): void {
    this.#from += bytes
    // a disk that is nearly full takes a part, and says ENOSPC to the rest
    if (error === null && this.#from < this.#until) return this.#write()
    if (error === null) this.#size += this.#until
    else this.#torn = true
    this.#chunk = undefined
    this.#done(error)
  }
}
