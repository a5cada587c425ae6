import { rename } from 'node:fs/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Listen } from '../calls/schema.js'
import type { ResolvedRecordingOptions } from './options.js'
import type { Owner } from './Owner.js'
import { findParts, type Part } from './parts.js'
import { hasCode, PART, WAV } from './paths.js'
import { repairPart } from './repair.js'
import type { FinishedRecording } from './schema.js'
import { readPartSidecar, type PartSidecar } from './sidecar.js'

/** ms between two looks for instances that have died since. */
const LOOK_INTERVAL = 15_000

export interface RecoveryDeps {
  options: ResolvedRecordingOptions
  owner: Owner
  logger: FastifyBaseLogger
}

export type OnRecovered = (listen: Listen, recording: FinishedRecording) => void

/** Finds the recordings that dead instances left unfinished, and finishes them. */
export class Recovery {
  readonly #deps: RecoveryDeps
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #closed = false

  constructor (deps: RecoveryDeps) {
    this.#deps = deps
  }

  /** Resolves after the first look, never rejects. */
  async start (onRecovered: OnRecovered): Promise<void> {
    this.#timer ??= setInterval(() => { this.#lookAgain(onRecovered) }, LOOK_INTERVAL).unref()
    this.#looking = this.#look(onRecovered)
    await this.#looking
  }

  async close (): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#looking
  }

  /** Walking the whole tree is for when an instance is known to have died. */
  #lookAgain (onRecovered: OnRecovered): void {
    const looking = this.#looking
    this.#looking = (async () => {
      await looking
      const dead = await this.#deps.owner.findDead().catch(() => [])
      if (dead.length > 0 && !this.#closed) await this.#look(onRecovered)
    })()
  }

  async #look (onRecovered: OnRecovered): Promise<void> {
    const { owner, options, logger } = this.#deps
    try {
      const dead = await owner.findDead()
      const kept = new Set<string>()
      for await (const part of findParts(options.directory)) {
        if (this.#closed) return
        const still = await this.#repair(part, onRecovered)
        if (still !== undefined) kept.add(still)
      }
      for (const token of dead) if (!kept.has(token)) await owner.bury(token)
    } catch (err) {
      logger.error({ err }, 'looking for unfinished recordings failed')
    }
  }

  /** Resolves to the owner of what stays unrepaired. */
  async #repair (part: Part, onRecovered: OnRecovered): Promise<string | undefined> {
    const { owner, logger } = this.#deps
    const sidecar = part.sidecar
    const notes = sidecar === undefined ? undefined : await readPartSidecar(sidecar)
    if (sidecar === undefined || notes === undefined) {
      logger.warn({ part: part.base }, 'an unfinished recording has no readable .part.json beside it: it is left as it is')
      return undefined
    }
    const holder = part.repairer ?? notes.recorder.owner
    if (await owner.isAlive(holder)) return holder
    try {
      await this.#repairAs(part, sidecar, notes, onRecovered)
      return undefined
    } catch (err) {
      logger.error({ err, callSid: notes.callSid, listenId: notes.id }, `the recording ${part.base} could not be repaired: the next start tries again`)
      return owner.token
    }
  }

  async #repairAs (part: Part, sidecar: string, notes: PartSidecar, onRecovered: OnRecovered): Promise<void> {
    const { owner, logger } = this.#deps
    await owner.announce()
    // of all that try, one succeeds
    const claimed = `${part.base}${PART}.json.${owner.token}`
    try {
      await rename(sidecar, claimed)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return
      throw error
    }
    const repaired = await repairPart(part.base, part.extension ?? WAV, claimed, notes)
    if (repaired === undefined) return
    const { recording, ...listen } = repaired.sidecar
    logger.warn({ callSid: listen.callSid, listenId: listen.id, location: recording.location, durationMs: recording.durationMs }, 'the recording of a process that died was repaired')
    onRecovered({ ...listen, recording }, recording)
  }
}
