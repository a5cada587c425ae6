// A worker thread that records one call until it is terminated. workerData: the directory of the recordings, and ms
// between two heartbeats. It posts a message when the audio is in the file.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { createRecordings } from '../../lib/recording/Recordings.js'
import { memoryLogger, pcm, streamOf, until } from './recordings.js'

const { directory, heartbeat } = workerData as { directory: string; heartbeat: number }
const recordings = createRecordings(
  { directory, flushInterval: 50, fileName: () => 'call' },
  { logger: memoryLogger(), instance: 'thread', heartbeat }
)
await recordings.recover(() => {})
recordings.start(streamOf()).write(pcm(1, 0, 1_600), 0)
const size = async (): Promise<number> =>
  (await stat(join(directory, 'call.part.wav')).catch(() => ({ size: 0 }))).size
await until(async () => (await size()) > 3_200, 'the audio in the file')
parentPort?.postMessage('recorded')
setInterval(() => {}, 60_000)
