// Records one call on a host whose clock is wrong and jumps. argv: directory of the recordings, ms that the
// clock is ahead, ms that it jumps during the call, ms between two heartbeats. It prints a line per event. It
// ends the call when stdin ends.
import { shiftDate } from './shiftedDate.js'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { setInterval } from 'node:timers'
import { memoryLogger, pcm, streamOf } from './recordings.js'

const [directory = '', ahead = '', jump = '', heartbeat = ''] = process.argv.slice(2)
shiftDate(Number(ahead))
// Gives this process its own host name, so that the other instances take it for a process on another machine.
os.hostname = () => `host${ahead}${jump}`
syncBuiltinESMExports()
const { createRecordings } = await import('../../lib/recording/Recordings.js')

const TICK = 20
const FRAME = 160
const logger = memoryLogger()
const recordings = createRecordings(
  { directory, flushInterval: 50, fileName: ({ listen }) => listen.id },
  { logger, instance: os.hostname(), heartbeat: Number(heartbeat) }
)
await recordings.recover(() => {})
const stream = streamOf({ id: `ahead${ahead}jump${jump}` })
const recorder = recordings.start(stream)
let frames = 0
const timer = setInterval(() => {
  recorder.write(pcm(1, frames++ * FRAME, FRAME), 0)
}, TICK)
process.stdout.write('recording\n')
process.stdin.once('data', () => {
  shiftDate(Number(jump))
  process.stdout.write('jumped\n')
})
process.stdin.once('end', () => {
  clearInterval(timer)
  recorder
    .finish(stream.listen)
    .then(
      (recording) => JSON.stringify({ frames, recording }),
      (error: Error) => JSON.stringify({ frames, error: error.message })
    )
    .then(async (line) => {
      process.stdout.write(`${line}\n`)
      await recordings.close()
    })
    .catch((error: unknown) => {
      process.stdout.write(`${String(error)}\n`)
    })
})
