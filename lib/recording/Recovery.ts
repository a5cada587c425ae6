import { rename, rm, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Call, Listen } from '../model/schema.js'
import type { Jobs } from './Jobs.js'
import { audioExtension } from './formats.js'
import type { ResolvedRecordingOptions } from './options.js'
import type { Owner } from './Owner.js'
import { findParts, type Part } from './parts.js'
import { ifThere, pathsOf } from './paths.js'
import { removeParts } from './place.js'
import { repairPart, type Repaired } from './repair.js'
import type { FinishedRecording } from './schema.js'
import { readPartSidecar, type PartSidecar } from './sidecar.js'
import { WAV_HEADER_BYTES } from '../pcm/wavHeader.js'

/** ms between two looks for instances that have died since. */
const LOOK_INTERVAL = 15_000

/** ms that a server's start waits for the first look: there may be hours of audio to repair. */
const PATIENCE = 5_000

export interface RecoveryDeps {
  directory: string
  options: ResolvedRecordingOptions
  owner: Owner
  jobs: Jobs
  logger: FastifyBaseLogger
}

export type OnRecovered = (listen: Listen, recording: FinishedRecording) => void

/** Finds the recordings that dead instances left unfinished, and finishes them. */
export class Recovery {
  readonly #deps: RecoveryDeps
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #closed = false

  constructor(deps: RecoveryDeps) {
    this.#deps = deps
  }

  /** Resolves after the first look or PATIENCE ms, never rejects. */
  async start(onRecovered: OnRecovered): Promise<void> {
    this.#timer ??= setInterval(() => {
      this.#lookAgain(onRecovered)
    }, LOOK_INTERVAL).unref()
    this.#looking = this.#look(onRecovered)
    await Promise.race([this.#looking, sleep(PATIENCE, undefined, { ref: false })])
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#looking
  }

  /** Walking the whole tree is for when an instance is known to have died. */
  #lookAgain(onRecovered: OnRecovered): void {
    const looking = this.#looking
    this.#looking = (async () => {
      await looking
      const dead = await this.#deps.owner.findDead().catch(() => [])
      if (dead.length > 0 && !this.#closed) await this.#look(onRecovered)
    })()
  }

  async #look(onRecovered: OnRecovered): Promise<void> {
    const { directory, owner, logger } = this.#deps
    try {
      const dead = await owner.findDead()
      const kept = new Set<string>()
      for await (const { parts, temporary } of findParts(directory)) {
        for (const part of parts) {
          if (this.#closed) return
          if (!(await this.#repair(part, onRecovered)) && part.owner !== undefined) kept.add(part.owner)
        }
        for (const { path, owner: writer } of temporary) {
          if (!(await owner.isAlive(writer))) await rm(path, { force: true })
        }
      }
      for (const token of dead) if (!kept.has(token)) await owner.bury(token)
    } catch (err) {
      logger.error({ err }, 'looking for unfinished recordings failed')
    }
  }

  /** Resolves to false when there is something left to repair. */
  async #repair(part: Part, onRecovered: OnRecovered): Promise<boolean> {
    const { owner, logger } = this.#deps
    if (part.sidecar === undefined || part.owner === undefined) {
      logger.warn(`nothing tells what the unfinished recording ${part.base} is: it is left as it is`)
      return true
    }
    if (await owner.isAlive(part.owner)) return false
    const { callSid, id: listenId }: Partial<Listen> =
      (await readPartSidecar(part.sidecar).catch(() => undefined)) ?? {}
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
    const { options, owner, logger } = this.#deps
    await owner.announce()
    const paths = pathsOf(part.base, part.extension ?? audioExtension(options), owner.token)
    // of all that try, one succeeds
    if ((await ifThere(rename(sidecar, paths.partSidecar).then(() => true))) === undefined) return
    const notes = await readPartSidecar(paths.partSidecar)
    if (notes === undefined) {
      const audio = await ifThere(stat(paths.part))
      if (audio !== undefined && audio.size > WAV_HEADER_BYTES) {
        throw new Error(`${paths.partSidecar} is broken`)
      }
      // it died before there was any audio
      await removeParts(paths)
      return
    }
    const repaired = await repairPart(paths, owner.token, notes, options)
    if (repaired === undefined) {
      await removeParts(paths)
      return
    }
    const { recording } = repaired
    logger.warn(
      {
        callSid: notes.callSid,
        listenId: notes.id,
        location: recording.location,
        durationMs: recording.durationMs
      },
      'the recording of a process that died was repaired'
    )
    await this.#goOn(repaired, notes, onRecovered)
  }

  /** With what its process had still to do. */
  async #goOn(
    { paths, listen, own, recording }: Repaired,
    { recorder }: PartSidecar,
    onRecovered: OnRecovered
  ): Promise<void> {
    const { jobs } = this.#deps
    if (own.state !== 'spooled') {
      await jobs.conclude(paths, own)
      onRecovered({ ...listen, recording }, recording)
      return
    }
    const { sampleRate, channels, mixType, segment, call = callOf(listen) } = recorder
    const stream = { callSid: listen.callSid, call, listen, sampleRate, channels, mixType }
    // what is far away may take long: the others need not wait for it
    jobs.run({ paths, segment, stream, listen, recording: own, attempts: 1 }).then(
      (followed = recording) => {
        onRecovered({ ...listen, recording: followed }, followed)
      },
      () => {}
    )
  }
}

/** When nobody wrote down more of it. */
function callOf({ callSid, createdAt }: Listen): Call {
  return { callSid, data: {}, listens: [], createdAt, updatedAt: createdAt }
}
