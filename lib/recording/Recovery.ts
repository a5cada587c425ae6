import { basename } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Call, Listen } from '../model/schema.js'
import { durationOf, WAV_HEADER_BYTES } from '../pcm/wavHeader.js'
import {
  MAY_FLUSH,
  hashPath,
  ifThere,
  isThere,
  lstat,
  remove,
  rename,
  placeFile,
  removeParts
} from './directory/files.js'
import type { Instances } from './directory/Instances.js'
import { ENCRYPTED_WAV, type RecordingPaths } from './directory/names.js'
import type { Part, RecordingDirectory } from './directory/RecordingDirectory.js'
import {
  mendNotes,
  ownRecording,
  readPartSidecar,
  readSidecar,
  saveSidecar,
  type PartNotes,
  type PartSidecar
} from './directory/sidecar.js'
import { needsMore } from './formats.js'
import type { ResolvedRecordingOptions } from './options.js'
import { readFormat, repairAudio } from './repairAudio.js'
import { withinMs } from '../model/time.js'
import type { FinishedRecording } from '../model/recording.js'
import type { Spool } from './Spool.js'

/** ms between two searches for instances that have died */
const LOOK_INTERVAL = 15_000
/**
 * maximum ms that the start of the server waits for the first look, which may find hours of audio to repair
 */
const PATIENCE = 5_000

/** The directory at the root of some file systems, which only root may read. */
const LOST_AND_FOUND = 'lost+found'
const NOT_READ =
  'a directory may not be read, so no recording in it is repaired: let the user of this process read and write it'
const NOT_REMOVED =
  'a temporary file of a dead process could not be removed: remove it, or let the user of this process write to its directory'

export interface RecoveryDeps {
  directory: RecordingDirectory
  options: ResolvedRecordingOptions
  instances: Instances
  spool: Spool
  logger: FastifyBaseLogger
  /** ms between two searches */
  interval?: number
}

export type OnRecovered = (listen: Listen, recording: FinishedRecording) => void

interface Repaired {
  paths: RecordingPaths
  listen: Listen
  /** the recording in this file alone */
  own: FinishedRecording
  /** the recording of the whole listen, with all its segments */
  recording: FinishedRecording
  notes: PartNotes
  /** true if the earlier process had completed the recording, but not yet compressed or sent it */
  wasComplete: boolean
}

/** The search for recordings that dead instances left unfinished, and their repair. */
export class Recovery {
  readonly #deps: RecoveryDeps
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #closed = false
  /** the paths that this process may not use; each is logged once */
  readonly #refused = new Set<string>()

  constructor(deps: RecoveryDeps) {
    this.#deps = deps
  }

  /** Begins to look for dead instances. Resolves after the first look or PATIENCE ms; never rejects. */
  async start(onRecovered: OnRecovered): Promise<void> {
    const { interval = LOOK_INTERVAL } = this.#deps
    this.#timer ??= setInterval(() => this.#lookAgain(onRecovered), interval).unref()
    this.#looking = this.#look(onRecovered)
    await withinMs(PATIENCE, this.#looking)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#looking
  }

  /** Looks for dead instances; walks the whole directory tree only if one has died. */
  #lookAgain(onRecovered: OnRecovered): void {
    const looking = this.#looking
    this.#looking = (async () => {
      await looking
      const dead = await this.#deps.instances.findDead().catch(() => [])
      if (dead.length > 0 && !this.#closed) await this.#look(onRecovered)
    })()
  }

  async #look(onRecovered: OnRecovered): Promise<void> {
    const { directory, instances, logger } = this.#deps
    try {
      await instances.watch()
      const dead = await instances.findDead()
      const kept = new Set<string>()
      const refused = (path: string, err: unknown): void => this.#noteRefused(path, err, NOT_READ)
      for await (const { parts, temporary } of directory.findParts(refused)) {
        for (const part of parts) {
          if (this.#closed) return
          if (!(await this.#repair(part, onRecovered)) && part.owner !== undefined) kept.add(part.owner)
        }
        for (const { path, owner } of temporary) {
          if (await instances.isAlive(owner)) continue
          await remove(path).catch((err: unknown) => this.#noteRefused(path, err, NOT_REMOVED))
        }
      }
      for (const token of dead) if (!kept.has(token)) await instances.bury(token)
    } catch (err) {
      logger.error({ err }, 'looking for unfinished recordings failed')
    }
  }

  #noteRefused(path: string, err: unknown, text: string): void {
    if (this.#refused.has(path) || basename(path) === LOST_AND_FOUND) return
    this.#refused.add(path)
    this.#deps.logger.warn({ err, path }, text)
  }

  /**
   * Repairs a recording. Resolves to false if a later look has to try again, because the owner of the
   * recording is alive, or because the repair failed.
   */
  async #repair(part: Part, onRecovered: OnRecovered): Promise<boolean> {
    const { instances, logger } = this.#deps
    if (part.irregular !== undefined) {
      logger.warn(
        { path: part.irregular },
        'a file of an unfinished recording is a link or no regular file, so it is not repaired: put the file itself there'
      )
      return true
    }
    if (part.sidecar === undefined || part.owner === undefined) {
      logger.warn(`the unfinished recording ${part.base} has no sidecar, so it is not repaired`)
      return true
    }
    if (await instances.isAlive(part.owner)) return false
    const { callSid, id: listenId } = (await readPartSidecar(part.sidecar).catch(() => undefined)) ?? {}
    try {
      await this.#repairAs(part, part.sidecar, onRecovered)
      return true
    } catch (err) {
      logger.error(
        { err, callSid, listenId },
        `the recording ${part.base} could not be repaired: the next start tries again`
      )
      return false
    }
  }

  async #repairAs(part: Part, sidecar: string, onRecovered: OnRecovered): Promise<void> {
    const { directory, instances, logger } = this.#deps
    await instances.announce()
    const paths = directory.pathsOf(part.base, part.extension)
    // Several instances may try to repair the recording, but the rename succeeds for only one of them.
    if ((await ifThere(rename(sidecar, paths.partSidecar).then(() => true))) === undefined) return
    const notes = await this.#readNotes(paths)
    const repaired = notes && (await this.#complete(paths, notes))
    if (repaired === undefined) return await removeParts(paths)
    const { callSid, id: listenId } = repaired.listen
    const { location, durationMs } = repaired.recording
    const facts = { callSid, listenId, location, durationMs }
    if (repaired.wasComplete) logger.info(facts, 'a complete recording of an earlier process was found')
    else logger.warn(facts, 'the recording of a process that died was repaired')
    await this.#goOn(repaired, onRecovered)
  }

  /** Resolves to the notes in the sidecar; undefined if the process died before it wrote any audio. */
  async #readNotes(paths: RecordingPaths): Promise<PartSidecar | undefined> {
    const { options, logger } = this.#deps
    const audio = await ifThere(lstat(paths.part))
    const said = await readPartSidecar(paths.partSidecar)
    if (said === undefined) {
      if (audio === undefined || audio.size <= WAV_HEADER_BYTES) return undefined
      throw new Error(`${paths.partSidecar} is not valid: it names no call and listen`)
    }
    const at = audio ? paths.part : paths.final
    const found = await ifThere(readFormat(at, options.encryption))
    const broken: string[] = []
    const notes = mendNotes(said, paths.base, found, (field) => broken.push(field))
    if (broken.length > 0) {
      logger.warn(
        { callSid: said.callSid, listenId: said.id, path: paths.partSidecar, fields: broken },
        'fields in the sidecar of an unfinished recording are not valid: they were ignored'
      )
    }
    if (notes === undefined) throw new Error(`neither ${at} nor its sidecar has its sample rate and channels`)
    return notes
  }

  /**
   * Completes the audio, name and sidecar of a recording whose process died at any point of its work. This
   * instance must own the sidecar of the unfinished recording, which stays. Resolves to undefined if nothing
   * was recorded yet.
   */
  async #complete(
    paths: RecordingPaths,
    { recorder: notes, ...listen }: PartSidecar
  ): Promise<Repaired | undefined> {
    const { instances } = this.#deps
    const done = await readSidecar(paths.sidecar)
    const known = done && ownRecording(done.recording)
    if (done && known?.id === notes.id) {
      await remove(paths.part)
      const own = await this.#here(paths, known)
      return { paths, listen: done, own, recording: done.recording, notes, wasComplete: true }
    }
    const part = await ifThere(lstat(paths.part))
    const final = part ?? (await ifThere(lstat(paths.final)))
    if (final === undefined) return undefined
    const described = await this.#describe(part ? paths.part : paths.final, final.mtime, notes)
    const placed = part ? await placeFile(paths) : paths
    const own = { ...described, location: placed.final }
    const recording = await saveSidecar(
      placed,
      notes.segment,
      instances.token,
      { call: notes.call, listen },
      own,
      MAY_FLUSH
    )
    await remove(placed.part)
    return {
      paths: placed,
      listen,
      own,
      recording: { ...recording, recovered: true },
      notes,
      wasComplete: false
    }
  }

  /**
   * Returns a recording that is still to be sent, with a location made from its name, since the location in
   * the sidecar may belong to another host, or be wrong.
   */
  async #here(paths: RecordingPaths, own: FinishedRecording): Promise<FinishedRecording> {
    if (own.state !== 'spooled') return own
    const compressed = this.#deps.directory.compressedPath(paths)
    const location = own.format !== 'wav' && (await isThere(compressed)) ? compressed : paths.final
    return { ...own, location, ...(location === paths.final && { format: 'wav' }) }
  }

  async #describe(path: string, ended: Date, notes: PartNotes): Promise<FinishedRecording> {
    const { options } = this.#deps
    const { sampleRate, channels, startedAt, pauses, gaps } = notes
    const { bytes, dataBytes, levels } = await repairAudio(path, notes, options.encryption)
    return {
      id: notes.id,
      segment: notes.segment,
      state: needsMore(options) ? 'spooled' : 'saved',
      location: path,
      format: 'wav',
      bytes,
      durationMs: Math.round(durationOf({ sampleRate, channels }, dataBytes)),
      sampleRate,
      channels,
      startedAt,
      // The date of the file is about the time of its last samples.
      endedAt: ended.toISOString(),
      ...(path.endsWith(ENCRYPTED_WAV) && { encrypted: true }),
      ...(options.levels && { levels: levels.channels }),
      gaps,
      pauses,
      ...(options.sha256 && { sha256: await hashPath(path) }),
      recovered: true
    }
  }

  /** Delivers a repaired recording and reports it, as the process that recorded it would have done. */
  async #goOn({ paths, listen, own, recording, notes }: Repaired, onRecovered: OnRecovered): Promise<void> {
    const { spool, logger } = this.#deps
    const tell = (whole: FinishedRecording): void => onRecovered({ ...listen, recording: whole }, whole)
    if (own.state !== 'spooled') {
      await spool.conclude(paths, own)
      tell(recording)
      return
    }
    const { sampleRate, channels, mixType, segment, call = callOf(listen) } = notes
    const stream = { callSid: listen.callSid, call, listen, sampleRate, channels, mixType }
    // The other repairs do not wait for this delivery, since the sink may be slow.
    spool
      .run({ paths, segment, stream, listen, recording: own, attempts: 1 })
      .then((followed = recording) => tell(followed))
      .catch((err: unknown) => logger.error({ err }, 'reporting a recovered recording failed'))
  }
}

/** Returns a minimal call, for a recording whose sidecar has no call. */
function callOf({ callSid, createdAt }: Listen): Call {
  return { callSid, data: {}, listens: [], createdAt, updatedAt: createdAt }
}
