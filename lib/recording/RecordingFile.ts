import { close, fdatasync, fstat, ftruncate, write } from 'node:fs'
import { promisify } from 'node:util'
import { buildWavHeader, WAV_HEADER_BYTES, type WavFormat } from '../pcm/wavHeader.js'
import { hashFile, readFully } from './directory/files.js'
import {
  createCipher,
  createPreamble,
  FRAME_OVERHEAD,
  NO_BYTES,
  PREAMBLE_BYTES,
  type FrameCipher
} from './encryption.js'
import type { Encryption } from './options.js'
import type { Done } from './types.js'

/** bytes that moveTo() copies in one go */
const COPIED_AT_ONCE = 256 * 1024
const writeAt = promisify(write)

/** The layout of a recording in its file. */
interface Codec {
  /** offsets in the file of the header, and of the first samples, in bytes */
  readonly headerAt: number
  readonly samplesAt: number
  /** Returns the bytes before the header. */
  preamble(): Buffer
  header(wavHeader: Buffer): Buffer
  /**
   * Returns the bytes to write for the first `length` bytes of `samples`. If it returns `samples` itself,
   * only the first `length` bytes are written.
   */
  samples(index: number, samples: Buffer, length: number): Buffer
  /** Returns the bytes that end the file. */
  end(index: number): Buffer
}

const PLAIN: Codec = {
  headerAt: 0,
  samplesAt: WAV_HEADER_BYTES,
  preamble: () => NO_BYTES,
  header: (wavHeader) => wavHeader,
  samples: (_index, samples) => samples,
  end: () => NO_BYTES
}

/** The offset of the first frame of samples in an encrypted file. */
export const FIRST_FRAME_AT = PREAMBLE_BYTES + FRAME_OVERHEAD + WAV_HEADER_BYTES

/**
 * Returns the codec of an encrypted file. Each append is one frame, so that only ciphertext reaches the disk.
 */
function encrypted(cipher: FrameCipher): Codec {
  return {
    headerAt: PREAMBLE_BYTES,
    samplesAt: FIRST_FRAME_AT,
    preamble: () => cipher.preamble,
    header: (wavHeader) => cipher.seal(0, wavHeader),
    samples: (index, samples, length) => cipher.seal(index, samples.subarray(0, length)),
    end: (index) => cipher.seal(index, NO_BYTES, true)
  }
}

/** The valid part of an unfinished file that is to be continued. */
export interface Progress {
  /** bytes of samples */
  dataBytes: number
  /** bytes of the file that are valid; bytes after them will be cut off */
  bytes: number
  /** number of frames, the header included */
  frames: number
}

/**
 * The file of a recording in progress: a WAV, plain or encrypted, that grows and can be played at any time. It does one
 * operation at a time and calls back at its end; a promise would cost more than the rest of a write. Writes are
 * positional (`pwrite`), so that patching the header needs no seek.
 */
export class RecordingFile {
  readonly #format: WavFormat
  readonly #codec: Codec
  #path: string
  #fd: number
  #bytes = 0
  #dataBytes = 0
  #frames = 1
  // The chunk that is being appended.
  #chunk: Buffer | undefined
  #samples = 0
  #torn = false
  #from = 0
  #until = 0
  #done: Done = () => {}
  readonly #written = (error: Error | null, bytes: number): void => this.#onWritten(error, bytes)

  /**
   * `fd`: descriptor of the file, open for reading and writing. `cipher`: undefined if the file is not
   * encrypted.
   */
  constructor(path: string, fd: number, format: WavFormat, cipher?: FrameCipher) {
    this.#path = path
    this.#fd = fd
    this.#format = format
    this.#codec = cipher ? encrypted(cipher) : PLAIN
  }

  /**
   * Resolves to the file of a new recording. `fd`: descriptor of the file, open and empty. Rejects with
   * FST_JAMBONZ_RECORDING_KEY if the application gives no key for it.
   */
  static async create(
    path: string,
    fd: number,
    format: WavFormat,
    encryption: Encryption | undefined
  ): Promise<RecordingFile> {
    const cipher = encryption && (await createCipher(path, createPreamble(encryption.keyId), encryption))
    return new RecordingFile(path, fd, format, cipher)
  }

  /** bytes of the file, without the bytes that a failed append may have left */
  get bytes(): number {
    return this.#bytes
  }

  /** bytes of samples */
  get dataBytes(): number {
    return this.#dataBytes
  }

  get path(): string {
    return this.#path
  }

  /** Writes the header of an empty file. */
  open(done: Done): void {
    const { header, preamble } = this.#codec
    const start = Buffer.concat([preamble(), header(buildWavHeader(this.#format, 0))])
    this.#append(start, start.length, 0, done)
  }

  /** Continues a file that was written before. */
  continueAt({ dataBytes, bytes, frames }: Progress): void {
    this.#dataBytes = dataBytes
    this.#bytes = bytes
    this.#frames = frames
    this.#torn = true
  }

  /**
   * Copies this file to `fd`, open and empty, and continues there, since another process has taken over this
   * file.
   */
  async moveTo(path: string, fd: number): Promise<void> {
    const piece = Buffer.allocUnsafeSlow(COPIED_AT_ONCE)
    for (let at = 0; at < this.#bytes;) {
      const bytes = await readFully(this.#fd, piece, Math.min(piece.length, this.#bytes - at), at)
      if (bytes === 0) throw new Error(`${this.path} has been cut off by another process`)
      for (let written = 0; written < bytes;) {
        written += (await writeAt(fd, piece, written, bytes - written, at + written)).bytesWritten
      }
      at += bytes
    }
    await settled((done) => this.close(done))
    this.#path = path
    this.#fd = fd
  }

  /** Appends the first `length` bytes of `chunk`, all or none. The caller must not change them before `done`. */
  append(chunk: Buffer, length: number, done: Done): void {
    const bytes = this.#codec.samples(this.#frames, chunk, length)
    this.#append(bytes, bytes === chunk ? length : bytes.length, length, done)
  }

  /** Updates the sizes in the header. */
  patchHeader(done: Done): void {
    const header = this.#codec.header(buildWavHeader(this.#format, this.#dataBytes))
    write(this.#fd, header, 0, header.length, this.#codec.headerAt, (error) => done(error))
  }

  /** Completes the file, which then takes no more audio. */
  seal(done: Done): void {
    const end = this.#codec.end(this.#frames)
    this.#trim((error) => {
      if (error) return done(error)
      this.patchHeader((failed) => {
        if (failed || end.length === 0) done(failed)
        else this.#append(end, end.length, 0, done)
      })
    })
  }

  /** Resolves to the SHA-256 of the file, hexadecimal. */
  async hash(): Promise<string> {
    return await hashFile(this.#fd)
  }

  sync(done: Done): void {
    fdatasync(this.#fd, done)
  }

  /**
   * Checks that the file is still in its directory. If not, fails with ENOENT, since the system deletes such
   * a file once it is closed.
   */
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

  /** Cuts off the bytes that a failed append, or another process, left at the end. */
  #trim(done: Done): void {
    if (!this.#torn) return done()
    ftruncate(this.#fd, this.#bytes, done)
  }

  #append(chunk: Buffer, length: number, samples: number, done: Done): void {
    this.#chunk = chunk
    this.#samples = samples
    this.#from = 0
    this.#until = length
    this.#done = done
    this.#write()
  }

  #write(): void {
    if (this.#chunk === undefined) return
    write(
      this.#fd,
      this.#chunk,
      this.#from,
      this.#until - this.#from,
      this.#bytes + this.#from,
      this.#written
    )
  }

  #onWritten(error: Error | null, bytes: number): void {
    this.#from += bytes
    // A nearly full disk takes a part of the bytes; writing the rest then fails with ENOSPC.
    if (error === null && this.#from < this.#until) return this.#write()
    if (error === null) {
      this.#bytes += this.#until
      this.#dataBytes += this.#samples
      if (this.#samples > 0) this.#frames++
    } else this.#torn = true
    this.#chunk = undefined
    this.#done(error)
  }
}

/** Resolves when an operation has called back; rejects with its error. */
export function settled(operation: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    operation((error) => {
      if (error) reject(error)
      else resolve()
    })
  })
}
