// Runs handlers that speak without end. It hangs up on each, and measures how long the event loop is blocked
// afterwards. argv: names of handlers in endlessSpeakers.ts. It prints a line of JSON after each handler, and
// no line for a handler that hangs the process.
import { writeSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Test } from 'tap'
import { ENDLESS_SPEAKERS } from './endlessSpeakers.js'
import { streamPair, until } from './streamPair.js'

export interface HangUp {
  name: string
  /**
   * 99th percentile in ms of the event loop's delay after the hang-up: the least of up to 20 measurements,
   * because other processes disturb single measurements
   */
  delayMs: number
  /** ms of CPU in the 300 ms after the hang-up: the least of up to 20 measurements */
  cpuMs: number
  /** true: the handler has returned or thrown (`ended`); true: the stream is destroyed (`destroyed`) */
  ended: boolean
  destroyed: boolean
}

const MEASURED = 300
const LOOKS = 20
const QUIET_DELAY = 10
const QUIET_CPU = 75
const SPOKEN = 60
/** ms to wait for the end of a handler on a busy machine */
const PATIENCE = 30_000
const FRAME = Buffer.alloc(320)

async function delayOf(ms: number): Promise<number> {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  await new Promise((resolve) => setTimeout(resolve, ms))
  delays.disable()
  // The percentile includes the normal lateness of a timer of 1 ms.
  return delays.percentile(99) / 1_000_000
}

async function hangUp(name: string): Promise<HangUp> {
  const speaker = ENDLESS_SPEAKERS[name]
  if (speaker === undefined) throw new Error(`endlessSpeakers.ts has no handler ${name}`)
  const teardowns: Array<() => void> = []
  const test = { teardown: (teardown: () => void) => teardowns.push(teardown) } as unknown as Test
  const { stream, socket, start } = await streamPair(test, {
    listen: { bidirectional: { mode: speaker.mode, sampleRate: 8000 } }
  })
  start()
  await until(() => stream.metadata !== undefined)
  let ended = false
  const spoken = speaker.speak(stream)
  spoken.catch(() => {}).finally(() => (ended = true))
  for (let ms = 0; ms < SPOKEN; ms += 20) {
    socket.send(FRAME)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  socket.close(1000)
  await stream.done
  let delayMs = Infinity
  let cpuMs = Infinity
  for (let look = 0; look < LOOKS && (delayMs > QUIET_DELAY || cpuMs > QUIET_CPU); look++) {
    const before = process.cpuUsage()
    delayMs = Math.min(delayMs, await delayOf(MEASURED))
    const { user, system } = process.cpuUsage(before)
    cpuMs = Math.min(cpuMs, (user + system) / 1_000)
  }
  if (speaker.ends) await until(() => ended, PATIENCE).catch(() => {})
  await until(() => stream.destroyed, PATIENCE).catch(() => {})
  for (const teardown of teardowns) teardown()
  return { name, delayMs, cpuMs, ended, destroyed: stream.destroyed }
}

process.on('unhandledRejection', (err) => {
  throw err
})
for (const name of process.argv.slice(2)) writeSync(1, `${JSON.stringify(await hangUp(name))}\n`)
process.exit()
