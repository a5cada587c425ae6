// Records two calls into the relative directory `recordings`. Between them, the process changes its working directory.
// argv: the first and the second working directory. Prints the locations of the recordings as JSON.
import { createRecordings } from '../../lib/recording/Recordings.js'
import { LISTEN, memoryLogger, pcm, streamOf } from './recordings.js'

const [first = '', second = ''] = process.argv.slice(2)
process.chdir(first)
const recordings = createRecordings(
  { directory: 'recordings' },
  { logger: memoryLogger(), instance: 'moved' }
)
await recordings.recover(() => {})
const locations: string[] = []
for (const [id, directory] of Object.entries({ one: first, two: second })) {
  process.chdir(directory)
  const recorder = recordings.start(streamOf({ id }))
  recorder.write(pcm(1, 0, 1_600), 0)
  locations.push((await recorder.finish({ ...LISTEN, id })).location)
}
await recordings.close()
process.stdout.write(JSON.stringify(locations))
