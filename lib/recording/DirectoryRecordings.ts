import type { FastifyBaseLogger } from 'fastify'
import { Claims } from './Claims.js'
import { FileOutput } from './FileOutput.js'
import { Jobs } from './Jobs.js'
import type { ResolvedRecordingOptions } from './options.js'
import type { Output } from './Output.js'
import { Owner } from './Owner.js'
import { Recovery, type OnRecovered } from './Recovery.js'
import { Retention } from './Retention.js'
import type { RecordedStream } from './types.js'

/** What the recordings of one directory share. */
export class DirectoryRecordings {
  readonly #options: ResolvedRecordingOptions
  readonly #owner: Owner
  readonly #claims: Claims
  readonly #jobs: Jobs
  readonly #recovery: Recovery
  readonly #retention: Retention | undefined

  constructor(
    directory: string,
    options: ResolvedRecordingOptions,
    { logger, instance }: { logger: FastifyBaseLogger; instance: string }
  ) {
    this.#options = options
    this.#owner = new Owner(directory, instance)
    this.#claims = new Claims(directory, options, this.#owner.token)
    this.#jobs = new Jobs({ options, token: this.#owner.token, logger })
    this.#recovery = new Recovery({ directory, options, owner: this.#owner, jobs: this.#jobs, logger })
    this.#retention = options.retention && new Retention(directory, options.retention, logger)
    this.#retention?.start()
  }

  get waiting(): number {
    return this.#jobs.running
  }

  createOutput(stream: RecordedStream, logger: FastifyBaseLogger): Output {
    return new FileOutput(stream, {
      options: this.#options,
      claims: this.#claims,
      jobs: this.#jobs,
      owner: this.#owner,
      logger
    })
  }

  async recover(onRecovered: OnRecovered): Promise<void> {
    this.#jobs.onLater(onRecovered)
    await this.#recovery.start(onRecovered)
  }

  /** Ends all that goes on besides recording. */
  async stop(): Promise<void> {
    await Promise.all([this.#recovery.close(), this.#jobs.close(), this.#retention?.close()])
  }

  /** Nothing is being recorded any more. Never rejects. */
  async close(): Promise<void> {
    await this.#owner.close().catch(() => {})
  }
}
