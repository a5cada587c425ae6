import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Test } from 'tap'
import type { Listen } from '../../lib/calls/schema.js'
import { createRecordings, type RecordedStream, type RecordingOptions, type Recordings } from '../../lib/recording/index.js'

export { pcm } from './pcm.js'

export const LISTEN: Listen = {
  id: '0d4a3f70b6a34b4fa2b7c9b1a3e5d7f9-00112233445566aa',
  callSid: '0d4a3f70-b6a3-4b4f-a2b7-c9b1a3e5d7f9',
  path: '/audio',
  state: 'streaming',
  connected: true,
  mixType: 'mono',
  sampleRate: 8000,
  channels: 1,
  createdAt: '2026-02-03T23:59:58.000Z',
  startedAt: '2026-02-04T00:00:01.000Z',
  audio: { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 }
}

/** A stream as a recorder sees it. */
export function streamOf (listen: Partial<Listen> = {}): RecordedStream {
  const whole = { ...LISTEN, ...listen }
  const { callSid, sampleRate, channels, mixType, createdAt } = whole
  const call = { callSid, from: '+15083084809', data: {}, listens: [whole], createdAt, updatedAt: createdAt }
  return { callSid, call, listen: whole, sampleRate, channels, mixType }
}

export interface LogLine {
  level: string
  text: string
  fields: Record<string, unknown>
}

/** A logger that remembers. */
export function memoryLogger (lines: LogLine[] = []): FastifyBaseLogger & { lines: LogLine[] } {
  const log = (level: string) => (fields: unknown, text?: string) => {
    if (typeof fields === 'string') lines.push({ level, text: fields, fields: {} })
    else lines.push({ level, text: text ?? '', fields: fields as Record<string, unknown> })
  }
  const logger = { lines, level: 'info', silent: () => {}, child: () => logger } as unknown as FastifyBaseLogger & { lines: LogLine[] }
  return Object.assign(logger, Object.fromEntries(['fatal', 'error', 'warn', 'info', 'debug', 'trace'].map((level) => [level, log(level)])))
}

export async function temporaryDirectory (t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'recordings-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Recordings in a directory of their own, closed with the test. */
export async function build (t: Test, options: RecordingOptions = {}): Promise<{ recordings: Recordings, directory: string, logger: ReturnType<typeof memoryLogger> }> {
  const directory = options.directory ?? await temporaryDirectory(t)
  const logger = memoryLogger()
  const recordings = createRecordings({ directory, ...options }, { logger, instance: 'test' })
  t.teardown(() => recordings.close())
  return { recordings, directory, logger }
}

/** Resolves when `condition` gives something; fails after `ms`. */
export async function until<T> (condition: () => T | Promise<T>, what: string, ms = 5_000): Promise<NonNullable<T>> {
  for (const end = Date.now() + ms; Date.now() < end;) {
    const value = await condition()
    if (value) return value
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
  throw new Error(`waited ${ms} ms in vain for ${what}`)
}

/** Fails in CI, skips elsewhere, when a program isn't installed. */
export function missing (program: string): string | false {
  const there = spawnSync(program, ['--version']).error === undefined || spawnSync(program, ['-version']).error === undefined
  if (there) return false
  if (process.env['CI'] === 'true') throw new Error(`${program} is not installed, and CI needs it`)
  return `${program} is not installed`
}
