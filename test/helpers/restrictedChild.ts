// Repairs recordings under the permission model of Node.js, and tries options that need more than it allows. argv: the
// directory of the recordings. Prints the repaired recordings, the log and the errors as JSON.
import { createRecordings } from '../../lib/recording/Recordings.js'
import { isError } from '../../lib/model/json.js'
import { memoryLogger } from './recordings.js'

const [directory = ''] = process.argv.slice(2)
const logger = memoryLogger()
const repaired: string[] = []
const recordings = createRecordings({ directory }, { logger, instance: 'restricted' })
await recordings.recover((_listen, { location }) => repaired.push(location))
await recordings.close()

function errorOf(options: { fsync?: true | 'end'; format?: 'flac' }): object | undefined {
  try {
    createRecordings({ directory, ...options }, { logger, instance: 'refused' })
    return undefined
  } catch (error) {
    return isError(error) ? { ...error, message: error.message } : undefined
  }
}

process.stdout.write(
  JSON.stringify({
    repaired,
    lines: logger.lines.map(({ level, text }) => ({ level, text })),
    errors: [errorOf({ fsync: true }), errorOf({ fsync: 'end' }), errorOf({ format: 'flac' })]
  })
)
