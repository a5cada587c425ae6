import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { loadSpeech } from '../audio/load.js'
import { simulateCall } from '../index.js'
import type { CallStory, SimulateCallOptions } from '../types.js'
import type { Command } from './arguments.js'
import type { Surroundings } from './main.js'
import { isOk, unexplained } from './oneCall.js'
import { counted } from './storyLines.js'
import { bar, Terminal } from './terminal.js'

const PLAIN_REPORT_MS = 5_000
const MAX_ERRORS_SHOWN = 10
const CALL_RATE = 8_000
const MAX_SAMPLES = 100_000

interface Percentiles {
  count: number
  p50: number
  p99: number
}

/** The result of a load run; latencies in real ms. */
export interface LoadReport {
  calls: number
  failed: number
  seconds: number
  frames: number
  bytes: number
  listens: number
  refused: number
  latencies: { webhook: Percentiles; hook: Percentiles; firstAudio: Percentiles }
  errors: Record<string, number>
}

class Tally {
  readonly #latencies = { webhook: [] as number[], hook: [] as number[], firstAudio: [] as number[] }
  readonly #errors = new Map<string, number>()
  running = 0
  done = 0
  failed = 0
  frames = 0
  bytes = 0
  listens = 0
  refused = 0

  add(story: CallStory): void {
    this.done++
    if (!isOk(story)) this.failed++
    const errors = story.problems.filter(({ severity }) => severity === 'error').map(({ what }) => what)
    for (const error of [...unexplained(story), ...errors]) {
      this.#errors.set(error, (this.#errors.get(error) ?? 0) + 1)
    }
    for (const { kind, latencyMs } of story.requests) {
      if (kind === 'webhook' || kind === 'hook') this.#sample(this.#latencies[kind], latencyMs)
    }
    for (const { sent, firstAudioMs, refused } of story.listens) {
      this.listens++
      if (refused !== undefined) this.refused++
      this.frames += sent.frames
      this.bytes += sent.bytes
      if (firstAudioMs !== undefined) this.#sample(this.#latencies.firstAudio, firstAudioMs)
    }
  }

  report(seconds: number): LoadReport {
    const { done, failed, frames, bytes, listens, refused } = this
    const { webhook, hook, firstAudio } = this.#latencies
    const errors = Object.fromEntries(
      [...this.#errors].sort(([, a], [, b]) => b - a).slice(0, MAX_ERRORS_SHOWN)
    )
    return {
      calls: done,
      failed,
      seconds,
      frames,
      bytes,
      listens,
      refused,
      errors,
      latencies: {
        webhook: percentiles(webhook),
        hook: percentiles(hook),
        firstAudio: percentiles(firstAudio)
      }
    }
  }

  #sample(samples: number[], value: number): void {
    if (samples.length < MAX_SAMPLES) samples.push(value)
  }
}

/** Runs many calls. Resolves to true if none failed. */
export async function runLoad(
  command: Command,
  options: SimulateCallOptions,
  { stdout, interrupt }: Surroundings
): Promise<boolean> {
  const terminal = new Terminal(stdout)
  const tally = new Tally()
  const shared = { ...options, ...sharedSpeech(options), keepAudio: false as const }
  setMaxListeners(0, interrupt)
  const calls = command.calls!
  const begun = performance.now()
  const progress = () =>
    `${bar(tally.done / calls)} ${tally.done} of ${counted(calls, 'call')}, ${tally.running} running, ${tally.failed} failed, ${counted(tally.frames, 'audio message')}`
  if (!command.json) terminal.showStatus(progress)
  const plain =
    command.json || stdout.isTTY === true
      ? undefined
      : setInterval(() => terminal.line(progress()), PLAIN_REPORT_MS)
  await startAll(calls, command.rate, interrupt, async () => {
    tally.running++
    const call = simulateCall(shared)
    const onInterrupt = () => call.hangUp()
    interrupt.addEventListener('abort', onInterrupt, { once: true })
    tally.add(await call)
    interrupt.removeEventListener('abort', onInterrupt)
    tally.running--
  })
  clearInterval(plain)
  terminal.hideStatus()
  const report = tally.report(Math.round(performance.now() - begun) / 1000)
  if (command.json) stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  else for (const line of describeReport(report)) terminal.line(line)
  return report.failed === 0
}

// Reads and resamples the speech once, not per call.
function sharedSpeech({ speech }: SimulateCallOptions): Pick<SimulateCallOptions, 'speech'> {
  return speech === undefined || speech === null
    ? {}
    : { speech: { pcm: loadSpeech(speech, CALL_RATE), sampleRate: CALL_RATE } }
}

async function startAll(
  calls: number,
  rate: number | undefined,
  interrupt: AbortSignal,
  start: () => Promise<void>
): Promise<void> {
  const running: Array<Promise<void>> = []
  const begun = performance.now()
  for (let i = 0; i < calls; i++) {
    const wait = rate === undefined ? 0 : begun + (i * 1000) / rate - performance.now()
    if (wait > 0) await delay(wait, undefined, { signal: interrupt }).catch(() => {})
    if (interrupt.aborted) break
    running.push(start())
  }
  await Promise.all(running)
}

export function describeReport(report: LoadReport): string[] {
  const { calls, failed, seconds, frames, bytes, listens, refused, latencies, errors } = report
  const row = (name: string, { count, p50, p99 }: Percentiles) =>
    `${name.padEnd(12)} ${String(count).padStart(7)}   p50 ${p50.toFixed(1).padStart(8)} ms   p99 ${p99.toFixed(1).padStart(8)} ms`
  return [
    `${failed === 0 ? 'ok' : 'FAILED'}: ${counted(calls, 'call')} in ${seconds.toFixed(1)} s, ${failed} failed`,
    `${counted(listens, 'listen')} (${refused} refused), ${counted(frames, 'audio message')}, ${(bytes / 1e6).toFixed(1)} MB`,
    row('webhook', latencies.webhook),
    row('hook', latencies.hook),
    row('first audio', latencies.firstAudio),
    ...Object.entries(errors).map(([text, count]) => `error: ${count} x ${text}`)
  ]
}

function percentiles(samples: number[]): Percentiles {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { count: sorted.length, p50: at(0.5), p99: at(0.99) }
}
