import { createReadStream } from 'node:fs'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { Writable } from 'node:stream'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { decryptRecording } from '../../lib/index.js'
import { bytesOf } from '../../lib/pcm/samples.js'
import {
  agentCall,
  correlate,
  correlations,
  likeness,
  loudMs,
  voice,
  type AgentCall,
  type AgentRecording
} from '../helpers/agentCalls.js'
import { compareAll, otherScenarios, sixScenarios } from '../helpers/agentScenarios.js'
import { until } from '../helpers/until.js'

// These tests wait for a caller who hears in real time, so they run side by side. test/soak/output.test.ts
// runs all scenarios, and with longer utterances.
t.jobs = 2
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)
const TOGETHER = 6
const MIX_TYPES = ['mono', 'stereo', 'mixed'] as const

/** maximum ms by which audio in the recording may be shifted (median of its stretches) */
const MAX_MEDIAN = 20

test('the agent is recorded within 20 ms of when the caller heard it, in each way of writing', async (t) => {
  const quick = /60 ms|clear\(\) twice|16 kHz, barge-in|recorded at/
  const others = otherScenarios('mono').filter(({ name }) => quick.test(name))
  const six = MIX_TYPES.flatMap((mixType) =>
    sixScenarios(mixType, 3_000).filter(({ name }) => mixType === 'mono' || name.startsWith('barge-in'))
  )
  const scenarios = [...six, ...others]
  const calls = await compareAll(t, scenarios, TOGETHER)
  for (const [at, { name, mixType }] of scenarios.entries()) {
    const { channels, listen } = calls[at]!
    const right = channels.at(-1)!
    t.equal(channels.length, mixType === 'mixed' ? 1 : 2)
    if (name.startsWith('one piece')) {
      t.match(
        listen.output,
        [{ id: 'speech-1', heardMs: 3_000, outcome: 'playout' }],
        'the audio of write() is listed'
      )
      t.notOk('text' in (listen.output?.[0] ?? {}))
      if (mixType === 'mono') {
        t.match(listen, { channels: 1, recording: { channels: 2 } })
        const [left] = channels
        t.ok(correlate(voice(1_500, 8000, 7).subarray(0, 800), left!, firstLoud(left!)) > 0.99)
      }
    }
    if (name.startsWith('barge-in')) {
      const [first, second] = listen.output ?? []
      t.match(first, { id: 'first', text: 'one two three four', outcome: 'cleared' })
      t.match(second, { id: 'second', heardMs: 800, outcome: 'playout' })
      t.ok(Math.abs((first?.atMs ?? 0) - firstLoud(right) / 8) <= 20, `${first?.atMs} ms`)
      t.equal(listen.output?.length, 2)
    }
    if (name.startsWith('clear() twice')) {
      t.match(
        listen.output?.map(({ outcome }) => outcome),
        ['cleared', 'cleared', 'playout']
      )
      const listedMs = listen.output?.reduce((sum, { heardMs }) => sum + heardMs, 0) ?? 0
      t.ok(
        Math.abs(listedMs - loudMs(right)) <= 100,
        `${listedMs} ms are listed, ${loudMs(right)} ms were heard`
      )
    }
  }
})

test('audio that the agent says in a pause is not recorded', async (t) => {
  const { channels, heard } = await agentCall(t, {
    agent: async (stream) => {
      stream.write(bytesOf(voice(1_000)))
      await stream.mark('before')
      stream.recording?.pause()
      stream.write(bytesOf(voice(1_000, 8000, 2)))
      await stream.mark('private')
      await new Promise((resolve) => setTimeout(resolve, 100))
      stream.recording?.resume()
      stream.write(bytesOf(voice(1_000, 8000, 3)))
      await stream.mark('after')
    }
  })
  const right = channels[1]!
  const spoken = voice(1_000, 8000, 2).subarray(4_000, 4_800)
  const recorded = loudMs(right)
  t.ok(Math.abs(loudMs(heard) - 3_000) <= 100)
  t.ok(recorded >= 1_850 && recorded <= 2_100, `${recorded} ms are recorded`)
  for (let at = 0; at < right.length; at += 80) {
    if (correlate(spoken, right, at) > 0.5) t.fail('private audio')
  }
})

/** Returns, for each of the voices that `voice()` makes from the `seeds`, true if a channel contains it. */
function areThere(channel: Int16Array, seeds: readonly number[]): boolean[] {
  return seeds.map((seed) => {
    const part = voice(1_000, 8000, seed).subarray(1_600, 2_400)
    return correlations(part, channel, 0, channel.length).some((correlation) => correlation > 0.5)
  })
}

for (const mode of ['silence', 'skip'] as const) {
  test(`${mode}: audio that is written in a pause but heard later is not recorded, nor is its text`, async (t) => {
    const { channels, heard, listen } = await agentCall(t, {
      agent: async (stream) => {
        const before = stream.utterance({ text: 'how can I help?' })
        before.write(bytesOf(voice(700, 8000, 1)))
        before.end()
        await before.done
        stream.recording?.pause(mode)
        const secret = stream.utterance({ text: 'your number is one two three' })
        secret.write(bytesOf(voice(700, 8000, 2)))
        await until(() => secret.heardMs > 0, 'the caller to hear its first sound')
        stream.recording?.resume()
        secret.end()
        stream.recording?.pause(mode)
        stream.write(bytesOf(voice(700, 8000, 3)))
        stream.recording?.resume()
        const after = stream.utterance({ text: 'good bye' })
        after.write(bytesOf(voice(700, 8000, 4)))
        after.end()
        await after.done
      }
    })
    const right = channels[1]!
    t.strictSame(
      areThere(heard, [1, 2, 3, 4]),
      [true, true, true, true],
      'the caller heard the whole utterance'
    )
    t.strictSame(areThere(right, [1, 2, 3, 4]), [true, false, false, true])
    t.strictSame(
      listen.output?.map(({ text }) => text),
      ['how can I help?', undefined, undefined, 'good bye']
    )
    const sidecar = await readFile(listen.recording!.location.replace(/\.wav$/, '.json'), 'utf8')
    t.match(sidecar, 'good bye')
    t.notMatch(sidecar, 'one two three')
  })
}

test('the first audio of a stream is not recorded if it is written in a pause and heard later', async (t) => {
  const { channels, heard } = await agentCall(t, {
    agent: async (stream) => {
      stream.recording?.pause()
      stream.write(bytesOf(voice(1_000, 8000, 1)))
      stream.recording?.resume()
      await stream.mark('private')
      stream.write(bytesOf(voice(1_000, 8000, 2)))
      await stream.mark('public')
    }
  })
  t.strictSame(areThere(heard, [1, 2]), [true, true], 'the caller heard both')
  t.strictSame(areThere(channels[1]!, [1, 2]), [false, true])
})

test('the first audio of a corked stream is recorded as it was written, outside of a pause or in it', async (t) => {
  const { channels, heard } = await agentCall(t, {
    agent: async (stream) => {
      stream.cork()
      stream.write(bytesOf(voice(1_000, 8000, 1)))
      stream.recording?.pause()
      stream.write(bytesOf(voice(1_000, 8000, 2)))
      stream.recording?.resume()
      stream.uncork()
      await stream.mark('written')
    }
  })
  t.strictSame(areThere(heard, [1, 2]), [true, true], 'the caller heard both')
  t.strictSame(areThere(channels[1]!, [1, 2]), [true, false])
})

/** Asserts that the recording has both voices, each at the time when it was heard. */
function hasBoth(t: Test, { channels, heard, sampleRate }: AgentRecording): void {
  const { medianMs, worstMs, correlation } = likeness(channels.at(-1)!, heard, sampleRate)
  t.ok(medianMs <= MAX_MEDIAN, `${medianMs} ms`)
  t.ok(worstMs <= 70, `${worstMs} ms`)
  t.ok(correlation > 0.95, `${correlation}`)
  t.ok(correlate(CALLER.subarray(0, 800), channels[0]!, firstLoud(channels[0]!)) > 0.95)
}

const CALLER = voice(1_500, 8000, 7)
const speaksTwice: Pick<AgentCall, 'agent' | 'simulate' | 'mixType'> = {
  mixType: 'stereo',
  simulate: { speech: { pcm: bytesOf(CALLER), sampleRate: 8000 } },
  agent: async (stream) => {
    for (const seed of [1, 2]) {
      stream.write(bytesOf(voice(600, 8000, seed)))
      await stream.mark('said')
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

test('an encrypted recording contains both sides', async (t) => {
  const key = Buffer.alloc(32, 7)
  const call = await agentCall(t, {
    ...speaksTwice,
    recording: { encryption: { key: () => key } },
    read: ({ location }) => buffer(createReadStream(location).pipe(decryptRecording(key)))
  })
  t.match(call.listen.recording, { encrypted: true, location: /\.enc$/ })
  hasBoth(t, call)
})

test('a compressed recording contains both sides', async (t) => {
  const call = await agentCall(t, {
    ...speaksTwice,
    recording: { format: 'flac' },
    read: async ({ location }) => {
      const wav = `${location}.wav`
      await promisify(execFile)('ffmpeg', ['-loglevel', 'error', '-i', location, '-c:a', 'pcm_s16le', wav])
      return await readFile(wav)
    }
  })
  t.match(call.listen.recording, { format: 'flac', channels: 2 })
  hasBoth(t, call)
})

for (const spool of [true, false]) {
  test(`a sink gets the audio of both sides, ${spool ? 'after the call' : 'during the call'}`, async (t) => {
    const chunks: Buffer[] = []
    const sink = () =>
      new Writable({
        write(chunk: Buffer, _encoding, done) {
          chunks.push(Buffer.from(chunk))
          done()
        }
      })
    const call = await agentCall(t, {
      ...speaksTwice,
      recording: spool ? { sink } : { directory: undefined, sink },
      read: async () => Buffer.concat(chunks)
    })
    hasBoth(t, call)
  })
}

for (const off of [{ recording: { output: false } }, { record: { output: false } }]) {
  test(`with ${JSON.stringify(off)} the agent is not recorded`, async (t) => {
    const { channels, heard } = await agentCall(t, {
      ...off,
      agent: async (stream) => {
        stream.write(bytesOf(voice(500)))
        await stream.mark('said')
      }
    })
    t.ok(loudMs(heard) > 400)
    t.equal(channels.length, 1)
    t.equal(loudMs(channels[0]!), 0)
  })
}

for (const mixType of ['stereo', 'mixed'] as const) {
  test(`${mixType}: if jambonz' frames already include the agent's audio, it is not added again`, async (t) => {
    const { channels, heard, log } = await agentCall(t, {
      mixType,
      simulate: { includeStream: true },
      agent: async (stream) => {
        stream.write(bytesOf(voice(3_000)))
        await stream.mark('said')
      }
    })
    const right = channels.at(-1)!
    const { medianMs, correlation } = likeness(right, heard, 8000)
    t.comment(
      `${mixType}, included: late by ${medianMs.toFixed(1)} ms, correlation ${correlation.toFixed(3)}`
    )
    t.ok(medianMs <= MAX_MEDIAN)
    t.ok(correlation > 0.99)
    t.ok(Math.abs(power(right) / power(heard) - 1) < 0.05, `power ${power(right) / power(heard)}`)
    t.equal(log.filter((line) => line.includes('jambonz includes the application')).length, 1)
  })
}

function firstLoud(samples: Int16Array): number {
  return samples.findIndex((sample) => Math.abs(sample) > 100)
}

function power(samples: Int16Array): number {
  return samples.reduce((sum, sample) => sum + sample * sample, 0)
}
