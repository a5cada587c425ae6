import type { Test } from 'tap'
import type { AudioStream } from '../../lib/index.js'
import { bytesOf } from '../../lib/pcm/samples.js'
import {
  agentCall,
  likeness,
  loudMs,
  voice,
  writeInPieces,
  type AgentCall,
  type AgentRecording
} from './agentCalls.js'
import { until } from './until.js'

/** A call in which an agent writes audio in a certain way. */
export interface Scenario extends AgentCall {
  name: string
}

/**
 * Limits in ms by which a recording may be late. MAX_MEDIAN: median of one call, which includes one frame of
 * 20 ms and the delay of the resampler. MAX_OF_CALLS: median of all calls. MAX_WORST: worst stretch, on a
 * busy machine.
 */
const MAX_MEDIAN = 22.5
const MAX_OF_CALLS = 5
const MAX_WORST = 70
/** ms by which the loud time in a recording may differ from the loud time that the caller heard */
const MAX_LENGTH_ERROR = 60

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Writes samples in pieces of `size()` bytes, with `wait()` ms between them. */
async function writeUnevenly(
  stream: AudioStream,
  samples: Int16Array,
  size: () => number,
  wait: () => number
) {
  const all = bytesOf(samples)
  for (let at = 0; at < all.length;) {
    const bytes = size()
    stream.write(all.subarray(at, at + bytes))
    at += bytes
    await pause(wait())
  }
}

async function say(stream: AudioStream, samples: Int16Array, id?: string): Promise<void> {
  const utterance = stream.utterance({ ...(id !== undefined && { id }) })
  utterance.write(bytesOf(samples))
  utterance.end()
  await utterance.done
}

/**
 * Returns six ways to speak. The recording of each must not be later than the limits above. `ms`: length of
 * an utterance.
 */
export function sixScenarios(mixType: AgentCall['mixType'], ms: number): Scenario[] {
  return [
    {
      name: `one piece of ${ms / 1000} s`,
      mixType,
      agent: async (stream) => {
        stream.write(bytesOf(voice(ms)))
        await stream.mark('said')
      },
      // In a mixed recording, the voices of caller and agent could not be told apart, so the caller is
      // silent.
      ...(mixType !== 'mixed' && {
        simulate: { speech: { pcm: bytesOf(voice(1_500, 8000, 7)), sampleRate: 8000 } }
      })
    },
    {
      name: 'pieces of 20 ms in real time',
      mixType,
      agent: async (stream) => {
        await writeInPieces(stream, voice(2_000))
        await stream.mark('said')
      }
    },
    {
      name: 'bursts faster than real time',
      mixType,
      agent: async (stream) => {
        for (let burst = 0; burst < 3; burst++) {
          stream.write(bytesOf(voice(900, 8000, burst + 1)))
          await pause(250)
        }
        await stream.mark('said')
      }
    },
    {
      name: '16 kHz on a call of 8 kHz',
      mixType,
      streamRate: 16_000,
      agent: async (stream) => {
        stream.write(bytesOf(voice(2_000, 16_000)))
        await stream.mark('said')
      }
    },
    {
      name: 'barge-in in the middle of a word',
      mixType,
      agent: async (stream) => {
        const first = stream.utterance({ id: 'first', text: 'one two three four' })
        first.write(bytesOf(voice(3_000)))
        first.end()
        await until(() => first.heardMs > 700, 'the first to be heard')
        stream.clear()
        await first.done
        await say(stream, voice(800, 8000, 5), 'second')
      }
    },
    {
      name: 'two utterances with a pause',
      mixType,
      agent: async (stream) => {
        for (const seed of [3, 4]) {
          await say(stream, voice(900, 8000, seed))
          await pause(530)
        }
      }
    }
  ]
}

/** Returns ways to speak that `sixScenarios()` does not have, with more rates, pauses and sizes of pieces. */
export function otherScenarios(mixType: AgentCall['mixType']): Scenario[] {
  const random = randomNumbers()
  const said = async (stream: AudioStream) => {
    await stream.mark('said')
  }
  const wideband = { callRate: 16_000, sampleRate: 16_000, streamRate: 16_000 } as const
  const bargeIn = async (stream: AudioStream) => {
    const first = stream.utterance({ id: 'first' })
    first.write(bytesOf(voice(3_000, stream.outputSampleRate)))
    first.end()
    await until(() => first.heardMs > 700, 'the first to be heard')
    stream.clear()
    await first.done
    await say(stream, voice(800, stream.outputSampleRate, 5), 'second')
  }
  const scenarios: Scenario[] = [
    {
      name: 'utterances of 60 ms',
      agent: async (stream) => {
        for (const seed of [3, 4, 5, 6]) {
          await say(stream, voice(60, 8000, seed))
          await pause(330)
        }
      }
    },
    {
      name: 'clear() twice',
      agent: async (stream) => {
        for (const seed of [3, 4]) {
          stream.write(bytesOf(voice(2_000, 8000, seed)))
          await pause(700)
          stream.clear()
          stream.clear()
          stream.write(bytesOf(voice(100, 8000, seed + 9)))
          stream.clear()
        }
        stream.write(bytesOf(voice(500, 8000, 50)))
        await said(stream)
      }
    },
    {
      name: 'write() and utterances in turn',
      agent: async (stream) => {
        for (const seed of [3, 4]) {
          stream.write(bytesOf(voice(300, 8000, seed)))
          const utterance = stream.utterance()
          utterance.write(bytesOf(voice(300, 8000, seed + 10)))
          stream.write(bytesOf(voice(200, 8000, seed + 20)))
          utterance.end()
          stream.write(bytesOf(voice(250, 8000, seed + 30)))
        }
        await said(stream)
      }
    },
    {
      name: 'pieces of odd sizes',
      agent: async (stream) => {
        await writeUnevenly(
          stream,
          voice(2_000),
          () => 1 + Math.floor(random() * 999),
          () => 20
        )
        await said(stream)
      }
    },
    {
      name: 'jitter',
      agent: async (stream) => {
        await writeUnevenly(
          stream,
          voice(2_000),
          () => 320,
          () => random() * 36
        )
        await said(stream)
      }
    },
    {
      name: 'slower than real time',
      agent: async (stream) => {
        await writeUnevenly(
          stream,
          voice(1_500),
          () => 640,
          () => 60
        )
        await said(stream)
      }
    },
    {
      name: '16 kHz in pieces on 8 kHz',
      streamRate: 16_000,
      agent: async (stream) => {
        await writeInPieces(stream, voice(2_000, 16_000))
        await said(stream)
      }
    },
    {
      name: 'a call of 16 kHz, pieces of 8 kHz',
      callRate: 16_000,
      agent: async (stream) => {
        await writeInPieces(stream, voice(2_000))
        await said(stream)
      }
    },
    {
      name: 'a call of 16 kHz, pieces of 16 kHz',
      ...wideband,
      agent: async (stream) => {
        for (const seed of [3, 4]) {
          await writeInPieces(stream, voice(900, 16_000, seed))
          await said(stream)
          await pause(400)
        }
      }
    },
    { name: 'a call of 16 kHz, barge-in', ...wideband, agent: bargeIn },
    { name: 'a call of 16 kHz, 8 kHz, barge-in', callRate: 16_000, agent: bargeIn },
    { name: '16 kHz on 8 kHz, barge-in', streamRate: 16_000, agent: bargeIn },
    {
      name: 'recorded at 16 kHz',
      sampleRate: 16_000,
      agent: async (stream) => {
        stream.write(bytesOf(voice(2_000)))
        await said(stream)
      }
    }
  ]
  return scenarios.map((scenario) => ({ mixType, ...scenario }))
}

/** Returns a generator of numbers from 0 to 1. The sequence is the same in each run. */
function randomNumbers(): () => number {
  let state = 7
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return state / 0x7fff_ffff
  }
}

/**
 * Maximum number of calls per scenario. A call is repeated if the machine stalled, because it was not in real
 * time then.
 */
const MAX_CALLS = 4

/**
 * Makes a call, and repeats it if the machine stalled. A gap in the call's audio shows that the machine
 * stalled for 200 ms or more.
 */
async function callInRealTime(t: Test, scenario: Scenario): Promise<AgentRecording> {
  for (let count = 1; ; count++) {
    const call = await agentCall(t, scenario)
    if (call.listen.audio.gapMs === 0 || count === MAX_CALLS) return call
    t.comment(`${scenario.name}: ${call.listen.audio.gapMs} ms without audio, once more`)
  }
}

/**
 * Makes a call for each scenario, `together` of them at the same time. Then compares each recording with the
 * audio that the caller heard, and prints a table. It compares after the last call, because comparing takes
 * CPU from running calls.
 */
export async function compareAll(
  t: Test,
  scenarios: Scenario[],
  together: number
): Promise<AgentRecording[]> {
  const calls: AgentRecording[] = []
  const waiting = [...scenarios.entries()]
  const dial = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [at, scenario] = next
      calls[at] = await callInRealTime(t, scenario)
    }
  }
  await Promise.all(Array.from({ length: together }, dial))
  const medians: number[] = []
  t.comment(
    'mixType | scenario | stretches | late by ms, median | worst | correlation | ms recorded | ms heard'
  )
  for (const [at, { name, mixType = 'mono' }] of scenarios.entries()) {
    const { channels, heard, sampleRate, story } = calls[at]!
    const right = channels.at(-1)!
    const is = `${mixType}, ${name}`
    t.same(story.errors, [], is)
    const { delays, medianMs, worstMs, correlation } = likeness(right, heard, sampleRate)
    const [recordedMs, heardMs] = [loudMs(right, sampleRate), loudMs(heard, sampleRate)]
    t.comment(
      [
        mixType,
        name,
        delays.length,
        medianMs.toFixed(1),
        worstMs.toFixed(1),
        correlation.toFixed(3),
        recordedMs,
        heardMs
      ].join(' | ')
    )
    medians.push(medianMs)
    t.ok(delays.length > 0, `${is}: the agent was heard`)
    t.ok(medianMs <= MAX_MEDIAN, `${is}: late by ${medianMs} ms (median)`)
    t.ok(worstMs <= MAX_WORST, `${is}: late by ${worstMs} ms (worst)`)
    t.ok(correlation > 0.95, `${is}: correlation ${correlation}`)
    t.ok(
      Math.abs(recordedMs - heardMs) <= MAX_LENGTH_ERROR,
      `${is}: ${recordedMs} ms are recorded, ${heardMs} were heard`
    )
  }
  const ofAll = medians.sort((a, b) => a - b)[Math.floor(medians.length / 2)] ?? NaN
  t.ok(ofAll <= MAX_OF_CALLS, `late by ${ofAll} ms (median of all calls)`)
  return calls
}
