import { randomUUID } from 'node:crypto'
import { dirname } from 'node:path'
import { types } from 'node:util'
import type { FastifyBaseLogger } from 'fastify'
import type { Listen } from '../model/schema.js'
import { ERR_RECORDING_KEY, ERR_RECORDING_OPEN, ERR_RECORDING_WRITE } from '../model/errors.js'
import { durationOf } from '../pcm/wavHeader.js'
import {
  closeFile,
  isThere,
  remove,
  syncDirectoryOf,
  placeFile,
  removeParts,
  reasonOf
} from './directory/files.js'
import type { Instances } from './directory/Instances.js'
import { cleanName, defaultName, type RecordingPaths } from './directory/names.js'
import type { Claim, RecordingDirectory } from './directory/RecordingDirectory.js'
import { saveSidecar, writeJson, type PartNotes } from './directory/sidecar.js'
import { needsMore } from './formats.js'
import type { ResolvedRecordingOptions } from './options.js'
import { RecordingFile, settled } from './RecordingFile.js'
import type { FinishedRecording } from '../model/recording.js'
import type { Spool } from './Spool.js'
import type { Done, Output, RecordedStream, Summary } from './types.js'
import { isoTime } from '../model/time.js'

/** Number of checkpoints between two checks whether the file was removed from its directory. */
const LOOK_AFTER = 2
const FILE_NAME_FAILED = 'recording.fileName failed: the default name is used'

export interface FileOutputDeps {
  options: ResolvedRecordingOptions
  directory: RecordingDirectory
  spool: Spool
  instances: Instances
  logger: FastifyBaseLogger
}

/** The output of a recording to a WAV file below the directory of the recordings. */
export class FileOutput implements Output {
  readonly #stream: RecordedStream
  readonly #deps: FileOutputDeps
  #name: string
  #file: RecordingFile | undefined
  #claim: Claim | undefined
  /** set once the recording is complete */
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
      startedAt: isoTime(),
      pauses: [],
      gaps: [],
      call: stream.call
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
    const { directory, instances } = this.#deps
    const given = this.#givenName()
    this.#name = given ?? this.#name
    try {
      await instances.announce()
      this.#claim = await directory.claim(this.#name, given === undefined, this.#stream.listen, this.#notes)
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
      const file = await RecordingFile.create(paths.part, fd, this.#stream, this.#deps.options.encryption)
      await settled((done) => file.open(done))
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
      if (error || ++this.#checkpoints % LOOK_AFTER !== 0) return done(error)
      file.look((gone) => {
        if (gone) this.#rescue(gone, done)
        else done()
      })
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
      (await this.#deps.spool.run({
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
    if (this.#claim) this.#deps.directory.release(this.#claim)
    if (file === undefined) return
    await settled((done) => file.patchHeader(done)).catch(() => {})
    await settled((done) => file.close(done))
  }

  /** Continues in a new file, after the current file was removed from its directory. */
  #rescue(gone: Error, done: Done): void {
    const claim = this.#claimed
    this.#keepClaim(this.#openFile, claim, this.#stream.listen)
      .then((now) => now !== claim)
      .catch(() => false)
      .then((rescued) => done(rescued ? null : gone), done)
  }

  get #openFile(): RecordingFile {
    if (this.#file) return this.#file
    throw new ERR_RECORDING_WRITE(this.#name, 'it is not open')
  }

  get #claimed(): Claim {
    if (this.#claim) return this.#claim
    throw new ERR_RECORDING_WRITE(this.#name, 'it has no file')
  }

  async #finalize(
    listen: Listen,
    summary: Summary,
    extra: Pick<FinishedRecording, 'state'>
  ): Promise<FinishedRecording> {
    const file = this.#openFile
    let claim = this.#claimed
    try {
      await this.#noting
      claim = await this.#keepClaim(file, claim, listen)
      const sha256 = await this.#seal(file)
      this.#paths = await placeFile(claim.paths)
      this.#recording = this.#describe(this.#paths, summary, file, { ...extra, ...(sha256 && { sha256 }) })
      return await this.#putDown(this.#paths, claim, listen, this.#recording)
    } catch (cause) {
      file.close(() => {})
      // If #recording is set, the audio is saved under its final name, and only the sidecar is missing.
      throw Object.assign(
        new ERR_RECORDING_WRITE(this.#name, reasonOf(cause), { cause }),
        this.#recording && { recording: this.#recording }
      )
    } finally {
      this.#deps.directory.release(claim)
    }
  }

  /**
   * Checks that this instance still owns the file, and resolves to the claim to complete, usually `claim` itself. If
   * this process was suspended for long, another instance may have considered it dead and completed the file. Then all
   * audio is copied to a new file beside the old one, and the result is the claim of the new file.
   */
  async #keepClaim(file: RecordingFile, claim: Claim, listen: Listen): Promise<Claim> {
    const { directory, logger } = this.#deps
    const { base, part, partSidecar } = claim.paths
    if ((await isThere(part)) && (await isThere(partSidecar))) return claim
    // If the directory was removed, no second file can be created in it.
    if (!(await isThere(dirname(base)))) return claim
    const beside = await directory.claimBeside(claim, listen, this.#notes)
    logger.warn(
      { location: beside.paths.final },
      'another instance took this one for dead and completed its recording: this instance saved all audio in a second file'
    )
    directory.release(claim)
    this.#claim = beside
    this.#name = beside.paths.final
    await file.moveTo(beside.paths.part, beside.fd)
    return beside
  }

  /** Completes the file and resolves to its SHA-256. */
  async #seal(file: RecordingFile): Promise<string | undefined> {
    const { fsync, sha256 } = this.#deps.options
    await settled((done) => file.seal(done))
    if (fsync !== 'never') {
      await settled((done) => file.sync(done))
    }
    const hash = sha256 ? await file.hash() : undefined
    await settled((done) => file.close(done))
    return hash
  }

  /** Writes the sidecar and removes the part files. */
  async #putDown(
    paths: RecordingPaths,
    { segment }: Claim,
    listen: Listen,
    recording: FinishedRecording
  ): Promise<FinishedRecording> {
    const { options, instances } = this.#deps
    const sync = options.fsync !== 'never'
    const { call } = this.#stream
    const joined = await saveSidecar(paths, segment, instances.token, { call, listen }, recording, sync)
    if (recording.state === 'spooled') await remove(paths.part)
    else await removeParts(paths)
    if (sync) await syncDirectoryOf(paths.final)
    return joined
  }

  #describe(
    paths: RecordingPaths,
    summary: Summary,
    file: RecordingFile,
    extra: Partial<FinishedRecording> & Pick<FinishedRecording, 'state'>
  ): FinishedRecording {
    const { sampleRate, channels } = this.#stream
    const { startedAt, endedAt, levels, gaps, pauses } = summary
    return {
      id: this.#notes.id,
      segment: this.#claimed.segment,
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

  /** Returns the name from the application's fileName(), or undefined, so that the default name is used. */
  #givenName(): string | undefined {
    const { options, logger } = this.#deps
    if (options.fileName === undefined) return undefined
    try {
      const given: unknown = options.fileName(this.#stream)
      const name = typeof given === 'string' ? cleanName(given) : ''
      if (name !== '') return name
      logger.error(
        { returned: types.isPromise(given) ? 'promise' : typeof given },
        'recording.fileName returned no valid file name: the default name is used'
      )
      // The rejection of an async function would end the process if nobody handled it.
      if (types.isPromise(given)) given.catch((err: unknown) => logger.error({ err }, FILE_NAME_FAILED))
    } catch (err) {
      logger.error({ err }, FILE_NAME_FAILED)
    }
    return undefined
  }

  #writeNotes(): void {
    if (this.#file === undefined || this.#summarize === undefined) return
    this.#noting ??= this.#writeNotesAgain(this.#claimed).finally(() => {
      this.#noting = undefined
    })
  }

  /** Writes the notes, and writes them again if they changed meanwhile. */
  async #writeNotesAgain({ paths, segment }: Claim): Promise<void> {
    while (this.#summarize) {
      const { pauses, gaps } = this.#summarize()
      this.#summarize = undefined
      try {
        // If another instance has taken over the sidecar, this instance must not write it any more.
        if (!(await isThere(paths.partSidecar))) return
        await writeJson(paths.partSidecar, this.#deps.instances.token, {
          ...this.#stream.listen,
          recorder: { ...this.#notes, segment, pauses, gaps }
        })
      } catch (err) {
        this.#deps.logger.warn({ err }, 'the pauses of a recording could not be written to its sidecar')
      }
    }
  }

  async #unclaim(): Promise<void> {
    if (this.#claim === undefined) return
    this.#deps.directory.release(this.#claim)
    await removeParts(this.#claim.paths).catch(() => {})
  }
}
