// Repairs recordings and deletes old ones as a user without the rights of root. argv: the directory of the recordings.
// Prints the repaired recordings and the log as JSON.
import { createRecordings } from '../../lib/recording/Recordings.js'
import { memoryLogger, until } from './recordings.js'

/** the user `nobody` */
const NOBODY = 65_534
const HOUR = 3_600_000

const [directory = ''] = process.argv.slice(2)
if (process.getuid?.() === 0) process.seteuid?.(NOBODY)
const logger = memoryLogger()
const recordings = createRecordings(
  { directory, retention: { maxAge: HOUR } },
  { logger, instance: 'stranger' }
)
const repaired: string[] = []
await recordings.recover((_listen, { location }) => repaired.push(location))
await until(() => logger.lines.some(({ text }) => /could not be deleted/.test(text)), 'the retention')
await recordings.close()
process.stdout.write(
  JSON.stringify({ repaired, lines: logger.lines.map(({ level, text }) => ({ level, text })) })
)
