import type { FastifyBaseLogger } from 'fastify'
import type { Listen } from '../calls/schema.js'
import { BlockPool } from './blocks.js'
import { Claims } from './Claims.js'
import { FileOutput } from './FileOutput.js'
import { FlushTimer } from './FlushTimer.js'
import { resolveRecordingOptions, type RecordingOptions } from './options.js'
import { Owner } from './Owner.js'
import { WAV } from './paths.js'
import { Recovery } from './Recovery.js'
import type { FinishedRecording } from './schema.js'
import { StreamRecorder } from './StreamRecorder.js'
import type { RecordedStream, Recorder } from './types.js'

export interface RecordingsDeps {
  logger: FastifyBaseLogger
  /** names this instance in files that several may see */
  instance: string
}

export interface Recordings {
  /** Never throws: what can't be opened fails that recording. `onFailed`: as soon as it fails, once. */
  start (stream: RecordedStream, onFailed?: (error: Error) => void): Recorder
  /**
   * Repairs what dead instances left in the directory, and goes on looking for it until close(). Resolves after the
   * first look, never rejects.
   */
  recover (onRecovered: (listen: Listen, recording: FinishedRecording) => void): Promise<void>
  /** Recordings that nobody finished are closed as they are: the next start completes them. Never rejects. */
  close (): Promise<void>
}

/** Throws FST_JAMBONZ_OPTIONS when an option is wrong. */
export function createRecordings (options: RecordingOptions, { logger, instance }: RecordingsDeps): Recordings {
  const resolved = resolveRecordingOptions(options)
  const pool = new BlockPool(resolved.maxMemory)
  const timer = new FlushTimer(resolved.flushInterval)
  const owner = new Owner(resolved.directory, instance)
  const claims = new Claims(resolved.directory, WAV, owner.token)
  const recovery = new Recovery({ options: resolved, owner, logger })
  const live = new Set<StreamRecorder>()

  return {
    start (stream, onFailed = () => {}) {
      const log = logger.child({ callSid: stream.callSid, listenId: stream.listen.id })
      const output = new FileOutput(stream, { options: resolved, claims, owner, logger: log })
      const recorder = new StreamRecorder(stream, output, { options: resolved, pool, timer, logger: log, onFailed, onEnded: () => { live.delete(recorder) } })
      live.add(recorder)
      return recorder
    },
    async recover (onRecovered) {
      await recovery.start(onRecovered)
    },
    async close () {
      await recovery.close()
      await Promise.all([...live].map((recorder) => recorder.abandon()))
      timer.close()
      await owner.close()
    }
  }
}
