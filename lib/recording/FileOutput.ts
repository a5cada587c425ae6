import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Listen } from '../model/schema.js'
import { ERR_RECORDING_KEY, ERR_RECORDING_OPEN, ERR_RECORDING_WRITE } from '../model/errors.js'
import { settled, type AudioFile } from './AudioFile.js'
import type { Claim, Claims } from './Claims.js'
import { createAudioFile } from './createAudioFile.js'
import { closeFile, remove } from './files.js'
import { needsMore } from './formats.js'
import type { Jobs } from './Jobs.js'
import { cleanName, defaultName } from './names.js'
import type { ResolvedRecordingOptions } from './options.js'
import type { Done, Output, Summary } from './Output.js'
import type { Owner } from './Owner.js'
import type { RecordingPaths } from './paths.js'
import { saveSidecar } from './segments.js'
import { placeFile, removeParts, syncDirectoryOf } from './place.js'
import { reasonOf } from './reasons.js'
import type { FinishedRecording } from './schema.js'
import { writeJson, type PartNotes } from './sidecar.js'
import type { RecordedStream } from './types.js'
import { durationOf } from '../pcm/wavHeader.js'

/** Checkpoints between two looks whether the file is still in a directory. */
const LOOK_AFTER = 2

export interface FileOutputDeps {
  options: ResolvedRecordingOptions
  claims: Claims
  jobs: Jobs
  owner: Owner
  logger: FastifyBaseLogger
}

/** A recording that is a WAV file below the directory of the recordings. */
export class FileOutput implements Output {
  readonly #stream: RecordedStream
  readonly #deps: FileOutputDeps
  #name: string
  #file: AudioFile | undefined
  #claim: Claim | undefined
  /** when complete */
  #paths: RecordingPaths | undefined
  #recording: FinishedRecording | undefined
  readonly #notes: Omit<PartNotes, 'segment'>
  #summarize: (() => Summary) | undefined
  #noting: Promise<void> | undefined
  #checkpoints = 0

  constructor(stream: RecordedStream, deps: FileOutputDeps) {
    this.#stream = stream
    this.#deps = deps
    const { sampleRate, channels, mixType } = stream
    this.#notes = {
      id: randomUUID(),
      sampleRate,
      channels,
      mixType,
      startedAt: new Date().toISOString(),
      pauses: [],
      gaps: [],
      ...(deps.options.sink && { call: stream.call })
    }
    this.#name = defaultName(stream)
  }

  get name(): string {
    return this.#name
  }

  get dataBytes(): number {
    return this.#file?.dataBytes ?? 0
  }

  async open(): Promise<void> {
    const { claims, owner } = this.#deps
    const given = this.#givenName()
    this.#name = given ?? this.#name
    try {
      await owner.announce()
      this.#claim = await claims.claim(this.#name, given === undefined, this.#stream.listen, this.#notes)
      await this.#openFileOf(this.#claim)
      this.#name = this.#claim.paths.final
      this.#writeNotes()
    } catch (error) {
      await this.#unclaim()
      if (error instanceof ERR_RECORDING_KEY) throw error
      throw new ERR_RECORDING_OPEN(this.#name, reasonOf(error), { cause: error })
    }
  }

  async #openFileOf({ paths, fd }: Claim): Promise<void> {
    try {
      const file = await createAudioFile(paths.part, fd, this.#stream, this.#deps.options)
      await settled((done) => {
        file.open(done)
      })
      this.#file = file
    } catch (error) {
      await closeFile(fd)
      throw error
    }
  }

  append(chunk: Buffer, length: number, done: Done): void {
    this.#openFile.append(chunk, length, done)
  }

  checkpoint(done: Done): void {
    const file = this.#openFile
    this.#writeNotes()
    const looked: Done = (error) => {
      if (error || ++this.#checkpoints % LOOK_AFTER !== 0) done(error)
      else file.look(done)
    }
    file.patchHeader((error) => {
      if (error || this.#deps.options.fsync !== 'flush') looked(error)
      else file.sync(looked)
    })
  }

  note(summarize: () => Summary, now: boolean): void {
    this.#summarize = summarize
    if (now) this.#writeNotes()
  }

  async complete(listen: Listen, summary: Summary): Promise<FinishedRecording> {
    return await this.#finalize(listen, summary, {
      state: needsMore(this.#deps.options) ? 'spooled' : 'saved'
    })
  }

  async follow(listen: Listen, recording: FinishedRecording): Promise<FinishedRecording> {
    const [paths, own] = [this.#paths, this.#recording]
    if (own?.state !== 'spooled' || paths === undefined) return recording
    return (
      (await this.#deps.jobs.run({
        paths,
        segment: this.#claimed.segment,
        stream: this.#stream,
        listen,
        recording: own,
        attempts: 0
      })) ?? recording
    )
  }

  async salvage(
    listen: Listen,
    summary: Summary,
    error: Error,
    idle: Promise<void>
  ): Promise<FinishedRecording | undefined> {
    await idle
    if (this.#file === undefined) return undefined
    return await this.#finalize({ ...listen, recordingError: error.message }, summary, { state: 'partial' })
  }

  async abandon(): Promise<void> {
    const file = this.#file
    if (this.#claim) this.#deps.claims.release(this.#claim)
    if (file === undefined) return
    await settled((done) => {
      file.patchHeader(done)
    }).catch(() => {})
    await settled((done) => {
      file.close(done)
    })
  }

  get #openFile(): AudioFile {
    if (this.#file === undefined) throw new ERR_RECORDING_WRITE(this.#name, 'it is not open')
    return this.#file
  }

  get #claimed(): Claim {
    if (this.#claim === undefined) throw new ERR_RECORDING_WRITE(this.#name, 'it has no file')
    return this.#claim
  }

  async #finalize(
    listen: Listen,
    summary: Summary,
    extra: Pick<FinishedRecording, 'state'>
  ): Promise<FinishedRecording> {
    const file = this.#openFile
    const claim = this.#claimed
    try {
      const sha256 = await this.#seal(file)
      await this.#noting
      this.#paths = await placeFile(claim.paths)
      this.#recording = this.#describe(this.#paths, summary, file, { ...extra, ...(sha256 && { sha256 }) })
      return await this.#putDown(this.#paths, claim, listen, this.#recording)
    } catch (cause) {
      await settled((done) => {
        file.close(done)
      }).catch(() => {})
      // what is in its place already is not lost, though nothing beside it tells of it
      throw Object.assign(
        new ERR_RECORDING_WRITE(this.#name, reasonOf(cause), { cause }),
        this.#recording && { recording: this.#recording }
      )
    } finally {
      this.#deps.claims.release(claim)
    }
  }

  /** Resolves to its SHA-256. */
  async #seal(file: AudioFile): Promise<string | undefined> {
    const { fsync, sha256 } = this.#deps.options
    await settled((done) => {
      file.seal(done)
    })
    if (fsync !== 'never') {
      await settled((done) => {
        file.sync(done)
      })
    }
    const hash = sha256 ? await file.hash() : undefined
    await settled((done) => {
      file.close(done)
    })
    return hash
  }

  /** Writes the sidecar, takes away the parts. */
  async #putDown(
    paths: RecordingPaths,
    { segment }: Claim,
    listen: Listen,
    recording: FinishedRecording
  ): Promise<FinishedRecording> {
    const { options, owner } = this.#deps
    const sync = options.fsync !== 'never'
    const joined = await saveSidecar(paths, segment, owner.token, listen, recording, sync)
    if (recording.state === 'spooled') await remove(paths.part)
    else await removeParts(paths)
    if (sync) await syncDirectoryOf(paths.final)
    return joined
  }

  #describe(
    paths: RecordingPaths,
    summary: Summary,
    file: AudioFile,
    extra: Partial<FinishedRecording> & Pick<FinishedRecording, 'state'>
  ): FinishedRecording {
    const { sampleRate, channels } = this.#stream
    const { startedAt, endedAt, levels, gaps, pauses } = summary
    return {
      id: this.#notes.id,
      location: paths.final,
      format: 'wav',
      bytes: file.bytes,
      durationMs: Math.round(durationOf(this.#stream, file.dataBytes)),
      sampleRate,
      channels,
      startedAt,
      endedAt,
      ...(this.#deps.options.encryption && { encrypted: true }),
      ...(levels && { levels }),
      gaps,
      pauses,
      ...extra
    }
  }

  /** What the application's fileName() says; a mistake in it costs the name, never the recording. */
  #givenName(): string | undefined {
    const { options, logger } = this.#deps
    if (options.fileName === undefined) return undefined
    try {
      const name = cleanName(options.fileName(this.#stream))
      if (name !== '') return name
      logger.error('recording.fileName returned nothing that can be a file name: the default name is used')
    } catch (err) {
      logger.error({ err }, 'recording.fileName failed: the default name is used')
    }
    return undefined
  }

  #writeNotes(): void {
    if (this.#file === undefined || this.#summarize === undefined) return
    this.#noting ??= this.#writeNotesAgain(this.#claimed).finally(() => {
      this.#noting = undefined
    })
  }

  /** For as long as they changed while they were written. */
  async #writeNotesAgain({ paths, segment }: Claim): Promise<void> {
    while (this.#summarize) {
      const { pauses, gaps } = this.#summarize()
      this.#summarize = undefined
      try {
        await writeJson(paths.partSidecar, this.#deps.owner.token, {
          ...this.#stream.listen,
          recorder: { ...this.#notes, segment, pauses, gaps }
        })
      } catch (err) {
        this.#deps.logger.warn({ err }, 'the pauses of a recording could not be noted beside it')
      }
    }
  }

  async #unclaim(): Promise<void> {
    if (this.#claim === undefined) return
    this.#deps.claims.release(this.#claim)
    await removeParts(this.#claim.paths).catch(() => {})
  }
}
