import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Listen } from '../../lib/model/schema.js'
import { createRecordings } from '../../lib/recording/Recordings.js'
import type { FinishedRecording } from '../../lib/model/recording.js'
import { inspectWav, WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { memoryLogger, pcm, temporaryDirectory, until } from './recordings.js'

const CHILD = join(import.meta.dirname, 'recordingChild.js')
const AT_ONCE = 5
export const CALLS = 20
/** One of this many processes may be killed before it has opened its files. */
const EARLY = 4
const FRAME = 160
const FLUSH_INTERVAL = 400
/**
 * Number of steps in which a recording begins: it is announced, opened and written. On a busy machine, each
 * step may take as long as the slowest probe (see Lateness.ts).
 */
const BEGIN_AND_WRITE = 3

interface Notes {
  /**
   * number of frames of each call that its file must contain, because they were written long enough before
   * the kill
   */
  bound: Map<number, number>
  /** number of frames that each call had written when the process was killed */
  written: Map<number, number>
  saved: Set<number>
  failed: string[]
}

function readNotes(text: string): Notes {
  const notes: Notes = { bound: new Map(), written: new Map(), saved: new Set(), failed: [] }
  const lines = text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
  const end = Number(lines.findLast(([what]) => what === 'at')?.[1] ?? 0)
  // A busy machine may delay a step by as much as the slowest probe.
  const late = Math.max(0, ...lines.filter(([what]) => what === 'late').map(([, ms]) => Number(ms)))
  const old = FLUSH_INTERVAL + BEGIN_AND_WRITE * late
  const finished = new Map<number, number>()
  for (const [what, first = '', ...more] of lines) {
    if (what === 'saved') notes.saved.add(Number(first))
    if (what === 'failed') notes.failed.push(more.join(' '))
    if (what === 'finish') finished.set(Number(first), Number(more[0]))
    if (what !== 'at') continue
    for (const [seed = 0, frames = 0] of more.map((pair) => pair.split(':').map(Number))) {
      notes.written.set(seed, frames)
      if (end - Number(first) >= old) notes.bound.set(seed, frames)
    }
    if (end - Number(first) >= old) {
      for (const [seed, frames] of finished) notes.bound.set(seed, frames)
    }
  }
  for (const [seed, frames] of finished) notes.written.set(seed, frames)
  for (const seed of notes.saved) notes.bound.set(seed, finished.get(seed) ?? 0)
  return notes
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

/**
 * Returns true for an empty instance file. The process was killed before it wrote its first heartbeat to the
 * file.
 */
async function isUnwritten(file: string): Promise<boolean> {
  return file.includes('.instances') && (await stat(file)).size === 0
}

/**
 * Kills a recording process once, and then repairs the recordings that it left. Resolves to the problems
 * found. `early`: the process may be killed before it has opened its files.
 */
async function killOnce(
  t: Test,
  directory: string,
  early: boolean
): Promise<{ problems: string[]; repaired: number; saved: number }> {
  const notesFile = `${directory}.notes`
  const child = spawn(
    process.execPath,
    [CHILD, directory, notesFile, String(FLUSH_INTERVAL), String(CALLS)],
    { stdio: ['ignore', 'inherit', 'inherit'], env: {} }
  )
  t.teardown(() => child.kill('SIGKILL'))
  await until(async () => {
    const text = await readFile(notesFile, 'utf8').catch(() => '')
    return /^at /m.test(text)
  }, 'the child to begin its recordings')
  if (!early) {
    await until(
      async () =>
        (await filesBelow(directory)).filter((file) => file.endsWith('.part.wav')).length > CALLS / 2,
      'the files of the recordings'
    )
  }
  await new Promise((resolve) => {
    setTimeout(resolve, 30 + Math.random() * 700)
  })
  child.kill('SIGKILL')
  await once(child, 'exit')
  const notes = readNotes(await readFile(notesFile, 'utf8'))

  const recovered = new Map<string, FinishedRecording>()
  const recordings = createRecordings({ directory }, { logger: memoryLogger(), instance: 'next' })
  await recordings.recover((listen: Listen, recording) => {
    recovered.set(listen.id, recording)
  })
  await recordings.close()

  const problems = notes.failed.map((message) => `failed: ${message}`)
  const files = await filesBelow(directory)
  for (const file of files) {
    if (/\.part|\.tmp$|\.instances/.test(file) && !(await isUnwritten(file))) {
      problems.push(`left over: ${file}`)
    }
  }
  for (const [seed, frames] of notes.written) {
    const name = `call-${seed}-listen-${seed}`
    const wav = files.find((file) => file.endsWith(`/${name}.wav`))
    const bound = notes.bound.get(seed) ?? 0
    if (wav === undefined) {
      if (bound > 0) problems.push(`${name} is missing`)
      continue
    }
    const bytes = await readFile(wav)
    const samples = (bytes.length - WAV_HEADER_BYTES) / 2
    if (inspectWav(bytes).dataBytes !== samples * 2) {
      problems.push(`${name}: the length in the header is not that of the file`)
    }
    if (samples < bound * FRAME || samples > frames * FRAME) {
      problems.push(`${name}: ${samples / FRAME} frames, not ${bound} to ${frames}`)
    }
    if (!bytes.subarray(WAV_HEADER_BYTES).equals(pcm(seed, 0, samples))) {
      problems.push(`${name}: samples differ`)
    }
    const { recording } = JSON.parse(await readFile(wav.replace(/wav$/, 'json'), 'utf8')) as {
      recording: FinishedRecording
    }
    if (recording.bytes !== bytes.length) {
      problems.push(`${name}: the sidecar does not match the file`)
    }
    if (!notes.saved.has(seed) && recording.recovered && recovered.get(`listen-${seed}`)?.location !== wav) {
      problems.push(`${name}: no event reported the recording`)
    }
  }
  return { problems, repaired: recovered.size, saved: notes.saved.size }
}

/** Kills recording processes at random moments. Several of them run at the same time. */
export async function killRecorders(t: Test, kills: number): Promise<void> {
  const directory = await temporaryDirectory(t)
  const problems: string[] = []
  let repaired = 0
  let saved = 0
  let next = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < kills) {
        const early = next % EARLY === EARLY - 1
        const result = await killOnce(t, join(directory, String(next++)), early)
        problems.push(...result.problems)
        repaired += result.repaired
        saved += result.saved
      }
    })
  )
  t.same(problems, [])
  t.ok(
    repaired >= (kills * CALLS) / 2,
    `${repaired} recordings were repaired, ${saved} had been saved before`
  )
}
