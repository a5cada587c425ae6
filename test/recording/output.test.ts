import t, { type Test } from 'tap'
import { bytesOf } from '../../lib/pcm/samples.js'
import {
  agentCall,
  correlate,
  likeness,
  voice,
  writeInPieces,
  type AgentCall
} from '../helpers/agentCalls.js'
import { until } from '../helpers/until.js'

// They wait for a caller who hears in real time: side by side.
t.jobs = 3
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

/** ms by which the middle of all stretches may be off, and the worst: a tick or two on a busy machine. */
const MAX_MEDIAN = 20
const MAX_WORST = 70

async function compare(t: Test, name: string, options: AgentCall) {
  const call = await agentCall(t, options)
  const { channels, heard, sampleRate, story } = call
  t.same(story.errors, [])
  const right = channels.at(-1)!
  const { delays, medianMs, worstMs, correlation } = likeness(right, heard, sampleRate)
  t.comment(
    `${name}: ${delays.length} stretches, late by ${medianMs.toFixed(1)} ms (median), ${worstMs.toFixed(1)} (worst); correlation ${correlation.toFixed(3)}`
  )
  t.ok(delays.length > 0, `${name}: the agent was heard`)
  t.ok(medianMs <= MAX_MEDIAN, `${name}: ${medianMs} ms (median)`)
  t.ok(worstMs <= MAX_WORST, `${name}: ${worstMs} ms (worst)`)
  t.ok(correlation > 0.95, `${name}: correlation ${correlation}`)
  return call
}

test('mono, one piece of 10 s: the caller is left, the agent right', async (t) => {
  const { channels, listen } = await compare(t, 'one piece of 10 s', {
    agent: async (stream) => {
      stream.write(bytesOf(voice(10_000)))
      await stream.mark('said')
    },
    simulate: { speech: { pcm: bytesOf(voice(3_000, 8000, 7)), sampleRate: 8000 } }
  })
  t.equal(channels.length, 2)
  t.match(listen, { channels: 1, recording: { channels: 2 } })
  t.ok(correlate(voice(3_000, 8000, 7).subarray(0, 800), channels[0]!, firstLoud(channels[0]!)) > 0.99)
})

test('pieces of 20 ms in real time', async (t) => {
  await compare(t, 'pieces of 20 ms', {
    agent: async (stream) => {
      await writeInPieces(stream, voice(3_000))
      await stream.mark('said')
    }
  })
})

test('bursts faster than real time', async (t) => {
  await compare(t, 'bursts', {
    agent: async (stream) => {
      for (let burst = 0; burst < 4; burst++) {
        stream.write(bytesOf(voice(1_000, 8000, burst + 1)))
        await new Promise((resolve) => setTimeout(resolve, 300))
      }
      await stream.mark('said')
    }
  })
})

test('a stream of 16 kHz on a call of 8 kHz', async (t) => {
  await compare(t, '16 kHz on 8 kHz', {
    streamRate: 16_000,
    agent: async (stream) => {
      stream.write(bytesOf(voice(3_000, 16_000)))
      await stream.mark('said')
    }
  })
})

test('a recording of 16 kHz', async (t) => {
  await compare(t, 'recorded at 16 kHz', {
    sampleRate: 16_000,
    agent: async (stream) => {
      stream.write(bytesOf(voice(3_000)))
      await stream.mark('said')
    }
  })
})

for (const mixType of ['mono', 'stereo', 'mixed'] as const) {
  test(`${mixType}: a barge-in in the middle of a word, then the next utterance`, async (t) => {
    const { channels, heard, listen } = await compare(t, `${mixType}, barge-in`, {
      mixType,
      agent: async (stream) => {
        const first = stream.utterance({ id: 'first', text: 'one two three four' })
        first.write(bytesOf(voice(3_000)))
        first.end()
        await until(() => first.heardMs > 900, 'the first to be heard')
        stream.clear()
        await first.done
        const second = stream.utterance({ id: 'second' })
        second.write(bytesOf(voice(1_000, 8000, 5)))
        second.end()
        await second.done
      }
    })
    t.equal(channels.length, mixType === 'mixed' ? 1 : 2)
    const recordedMs = loudMs(channels.at(-1)!)
    const heardMs = loudMs(heard)
    t.ok(Math.abs(recordedMs - heardMs) <= 60, `${recordedMs} ms are recorded, ${heardMs} were heard`)
    const [first, second] = listen.output ?? []
    t.match(first, { id: 'first', text: 'one two three four', outcome: 'cleared' })
    t.match(second, { id: 'second', heardMs: 1_000, outcome: 'playout' })
    t.ok(Math.abs((first?.atMs ?? 0) - firstLoud(channels.at(-1)!) / 8) <= 20, `${first?.atMs} ms`)
  })

  test(`${mixType}: two utterances with a pause`, async (t) => {
    await compare(t, `${mixType}, two utterances`, {
      mixType,
      agent: async (stream) => {
        for (const seed of [3, 4]) {
          const utterance = stream.utterance()
          utterance.write(bytesOf(voice(900, 8000, seed)))
          utterance.end()
          await utterance.done
          await new Promise((resolve) => setTimeout(resolve, 730))
        }
      }
    })
  })
}

test('nothing that the agent says in a pause is on the record', async (t) => {
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
  const recorded = loudMs(right)
  t.ok(Math.abs(loudMs(heard) - 3_000) <= 100)
  t.ok(recorded >= 1_850 && recorded <= 2_100, `${recorded} ms are recorded`)
  for (let at = 0; at < right.length; at += 80) {
    if (correlate(voice(1_000, 8000, 2).subarray(4_000, 4_800), right, at) > 0.5) t.fail('something private')
  }
})

for (const off of [{ recording: { output: false } }, { record: { output: false } }]) {
  test(`${JSON.stringify(off)} leaves the agent out`, async (t) => {
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
  test(`${mixType}: where the media server includes the stream, it is not there twice`, async (t) => {
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
    t.equal(log.filter((line) => line.includes('jambonz sends what is streamed to it')).length, 1)
  })
}

function firstLoud(samples: Int16Array): number {
  return samples.findIndex((sample) => Math.abs(sample) > 100)
}

/** ms of stretches of 10 ms in which something is heard. */
function loudMs(samples: Int16Array): number {
  let ms = 0
  for (let at = 0; at < samples.length; at += 80) {
    if (samples.subarray(at, at + 80).some((sample) => Math.abs(sample) > 100)) ms += 10
  }
  return ms
}

function power(samples: Int16Array): number {
  return samples.reduce((sum, sample) => sum + sample * sample, 0)
}
