// Records until the file reaches the size limit of the process, and prints the error. argv: directory of the
// recordings.
import type { FastifyBaseLogger } from 'fastify'
import { createRecordings } from '../../lib/recording/Recordings.js'
import type { RecordingError } from '../../lib/recording/types.js'
import { LISTEN, streamOf } from './listens.js'
import { pcm } from './pcm.js'

const ignore = (): void => {}
const logger = {
  error: ignore,
  warn: ignore,
  info: ignore,
  child: () => logger
} as unknown as FastifyBaseLogger
const recordings = createRecordings(
  { directory: process.argv[2] ?? '', fileName: () => 'call' },
  { logger, instance: 'limited' }
)
const recorder = recordings.start(streamOf())
recorder.write(pcm(1, 0, 256 * 1024), 0)
recorder.finish(LISTEN).catch(async (error: RecordingError) => {
  const { code, message, recording } = error
  await recordings.close()
  console.log(JSON.stringify({ code, message, recording }))
})
