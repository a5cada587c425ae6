// Plays five files at the same time and measures how long this blocks the event loop. The files are a minute
// of 44.1 kHz stereo each or, with the argument mp3, 15 s of MP3 each. Prints one line of JSON.
import { spawnSync } from 'node:child_process'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import Fastify from 'fastify'
import { FilePlayback } from '../../lib/audio/playback/FilePlayback.js'
import { AudioFile } from '../../lib/audio/playback/AudioFile.js'
import { buildStreamHeader } from '../../lib/pcm/wavHeader.js'

export interface PlayStall {
  /**
   * longest block of the event loop in ms while files were converted: the least of up to five measurements
   */
  stallMs: number
  /**
   * longest block in ms while the process did work in parts of 1 ms instead; only other processes cause it
   */
  controlMs: number
  /** ms from play() to the command for jambonz, for one file alone */
  convertedMs: number
}

const FILES = 5
const LOOKS = 5
const GOOD = 10
const SECONDS = process.argv[2] === 'mp3' ? 15 : 60
const RATE = 44_100
/** the work that is measured for comparison: ms of one part, and number of parts */
const PART = 1
const PARTS = 1_000

async function longest(work: () => Promise<unknown>): Promise<number> {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  await new Promise((resolve) => setTimeout(resolve, 20))
  delays.reset()
  await work()
  // Wait, because a delay is recorded only when the next timer fires.
  await new Promise((resolve) => setTimeout(resolve, 10))
  delays.disable()
  return delays.max / 1_000_000
}

const samples = Int16Array.from({ length: SECONDS * RATE * 2 }, (_, i) => 9_000 * Math.sin(i / 20))
const wav = Buffer.concat([buildStreamHeader({ sampleRate: RATE, channels: 2 }), Buffer.from(samples.buffer)])
const MP3_ARGS = ['-v', 'error', '-f', 'wav', '-i', 'pipe:0', '-b:a', '128k', '-f', 'mp3', 'pipe:1']
const file =
  process.argv[2] === 'mp3' ? spawnSync('ffmpeg', MP3_ARGS, { input: wav, maxBuffer: 2 ** 24 }).stdout : wav
const { log } = Fastify()

async function playAll(): Promise<void> {
  const sent: Array<Promise<void>> = []
  for (let i = 0; i < FILES; i++) {
    // Each file is played in its own turn of the event loop, as the handlers of several calls would do.
    await new Promise((resolve) => setImmediate(resolve))
    const command = new Promise<void>((resolve) => {
      const send = () => resolve()
      new FilePlayback({ send, speed: () => 1, onDone: () => {}, logger: log }).play(file, 8000, {})
    })
    sent.push(command)
  }
  await Promise.all(sent)
}

async function workInParts(): Promise<void> {
  for (let part = 0; part < PARTS; part++) {
    await new Promise((resolve) => setImmediate(resolve))
    for (const until = performance.now() + PART; performance.now() < until;);
  }
}

const best: PlayStall = { stallMs: Infinity, controlMs: Infinity, convertedMs: Infinity }
for (let look = 0; look < LOOKS && best.stallMs > GOOD; look++) {
  best.controlMs = Math.min(best.controlMs, await longest(workInParts))
  best.stallMs = Math.min(best.stallMs, await longest(playAll))
  const from = performance.now()
  await new AudioFile(file, 8000).toCommand('id', () => false)
  best.convertedMs = Math.min(best.convertedMs, performance.now() - from)
}
console.log(JSON.stringify(best))
process.exit()
