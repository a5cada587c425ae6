import type { Done } from './Output.js'

/** A file of a recording in the making. One operation at a time. */
export interface AudioFile {
  readonly path: string
  /** of the file */
  readonly bytes: number
  /** of samples */
  readonly dataBytes: number
  /** Gives the file, which is empty, its header. */
  open(done: Done): void
  /** Appends the first `length` bytes of `chunk`, which must stay as they are until `done`. */
  append(chunk: Buffer, length: number, done: Done): void
  /** Lets the header say how much is there. */
  patchHeader(done: Done): void
  /** Nothing more comes: makes it a whole file. */
  seal(done: Done): void
  /** SHA-256 of the file, hexadecimal */
  hash(): Promise<string>
  sync(done: Done): void
  /** Fails with ENOENT when the file is in no directory any more. */
  look(done: Done): void
  close(done: Done): void
}

/** A callback operation as a promise. */
export function settled(operation: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    operation((error) => {
      if (error) reject(error)
      else resolve()
    })
  })
}

/** One after the other, until one fails. */
export function inTurn(operations: Array<(done: Done) => void>, done: Done): void {
  const [first, ...rest] = operations
  if (first === undefined) return done()
  first((error) => {
    if (error) done(error)
    else inTurn(rest, done)
  })
}
