import { createWriteStream, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import type { RecordedFile } from './types.js'

/**
 * The recorder of a typical application without the plugin. It has one file per call, and makes one write per
 * message.
 */
export class Files {
  readonly #directory: string
  readonly #files: RecordedFile[] = []
  readonly #streams: WriteStream[] = []

  constructor(directory: string) {
    this.#directory = directory
  }

  create(callSid: string): WriteStream {
    const path = join(this.#directory, `${callSid}.raw`)
    const stream = createWriteStream(path)
    this.#files.push({ callSid, path, header: 0 })
    this.#streams.push(stream)
    return stream
  }

  async complete(): Promise<RecordedFile[]> {
    await Promise.all(this.#streams.map((stream) => finished(stream)))
    return this.#files
  }
}
