import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Test } from 'tap'
import { createRecordings, type Recordings } from '../../lib/recording/Recordings.js'
import type { RecordingOptions } from '../../lib/recording/options.js'

export { LISTEN, streamOf } from './listens.js'
export { pcm } from './pcm.js'
export { until } from './until.js'

export interface LogLine {
  level: string
  text: string
  fields: Record<string, unknown>
}

/** Returns a logger that stores its lines in `lines`. */
export function memoryLogger(lines: LogLine[] = []): FastifyBaseLogger & { lines: LogLine[] } {
  const log = (level: string) => (fields: unknown, text?: string) => {
    if (typeof fields === 'string') lines.push({ level, text: fields, fields: {} })
    else lines.push({ level, text: text ?? '', fields: fields as Record<string, unknown> })
  }
  const logger = {
    lines,
    level: 'info',
    silent: () => {},
    child: () => logger
  } as unknown as FastifyBaseLogger & { lines: LogLine[] }
  return Object.assign(
    logger,
    Object.fromEntries(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace'].map((level) => [level, log(level)])
    )
  )
}

export async function temporaryDirectory(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'recordings-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Returns the plugin's `Recordings` in a new directory. They are closed at the end of the test. */
export async function build(
  t: Test,
  options: RecordingOptions = {},
  heartbeat?: number
): Promise<{ recordings: Recordings; directory: string; logger: ReturnType<typeof memoryLogger> }> {
  const directory = options.directory ?? (await temporaryDirectory(t))
  const logger = memoryLogger()
  const recordings = createRecordings(
    { directory, ...options },
    { logger, instance: 'test', ...(heartbeat !== undefined && { heartbeat }) }
  )
  t.teardown(() => recordings.close())
  return { recordings, directory, logger }
}

/**
 * Returns the reason why a test is skipped, or false if the program is installed. In CI a test is never
 * skipped, so without the program it fails.
 */
export function missing(program: string): string | false {
  const there =
    spawnSync(program, ['--version']).error === undefined ||
    spawnSync(program, ['-version']).error === undefined
  if (there) return false
  if (process.env['CI'] === 'true') throw new Error(`${program} is not installed, and CI needs it`)
  return `${program} is not installed`
}
