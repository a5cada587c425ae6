// Records calls until it is killed. It notes each finished step in a file, with synchronous writes, so that a
// note is never lost by the kill. argv: directory of the recordings, file of the notes, flushInterval in ms,
// number of calls at the same time.
import { openSync, writeSync } from 'node:fs'
import type { FastifyBaseLogger } from 'fastify'
import type { Listen } from '../../lib/model/schema.js'
import { createRecordings } from '../../lib/recording/Recordings.js'
import type { Recorder } from '../../lib/recording/types.js'
import { Lateness } from './Lateness.js'
import { pcm } from './pcm.js'

const FRAME = 160
/** ms after which the process ends by itself if the test can't kill it */
const LIFE = 150_000
const TICK = 5

const [directory = '', notes = '', flushInterval = '', calls = ''] = process.argv.slice(2)
const fd = openSync(notes, 'a')
const note = (...what: Array<string | number>): void => {
  writeSync(fd, `${what.join(' ')}\n`)
}
const ignore = (): void => {}
const logger = {
  level: 'silent',
  fatal: ignore,
  error: ignore,
  warn: ignore,
  info: ignore,
  debug: ignore,
  trace: ignore,
  silent: ignore,
  child: () => logger
} as unknown as FastifyBaseLogger
const recordings = createRecordings(
  { directory, flushInterval: Number(flushInterval) },
  { logger, instance: 'child' }
)

interface Call {
  seed: number
  listen: Listen
  recorder: Recorder
  frames: number
  last: number
}
let seeds = 0

function begin(): Call {
  const seed = seeds++
  const at = new Date().toISOString()
  const listen: Listen = {
    id: `listen-${seed}`,
    callSid: `call-${seed}`,
    path: '/audio',
    state: 'streaming',
    connected: true,
    mixType: 'mono',
    sampleRate: 8000,
    channels: 1,
    createdAt: at,
    audio: { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 }
  }
  const call = { callSid: listen.callSid, data: {}, listens: [listen], createdAt: at, updatedAt: at }
  note('begin', seed)
  const recorder = recordings.start({
    callSid: listen.callSid,
    call,
    listen,
    sampleRate: 8000,
    channels: 1,
    mixType: 'mono'
  })
  return { seed, listen, recorder, frames: 0, last: 20 + Math.floor(Math.random() * 200) }
}

function end({ seed, listen, recorder, frames }: Call): void {
  note('finish', seed, frames)
  recorder.finish({ ...listen, state: 'ended' }).then(
    () => {
      note('saved', seed)
    },
    (error: Error) => {
      note('failed', seed, error.message)
    }
  )
}

const lateness = new Lateness(`${notes}.lateness`)
setTimeout(() => {
  process.exit()
}, LIFE)
const live = Array.from({ length: Number(calls) }, begin)
setInterval(() => {
  for (const [at, call] of live.entries()) {
    call.recorder.write(pcm(call.seed, call.frames * FRAME, FRAME), 0)
    call.frames++
    if (call.frames < call.last) continue
    end(call)
    live[at] = begin()
  }
  note('late', Math.ceil(lateness.worst))
  note('at', Date.now(), ...live.map((call) => `${call.seed}:${call.frames}`))
}, TICK)
