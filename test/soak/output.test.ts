import t from 'tap'
import { bytesOf } from '../../lib/pcm/samples.js'
import { agentCall, likeness, loudMs, voice } from '../helpers/agentCalls.js'
import { compareAll, otherScenarios, sixScenarios } from '../helpers/agentScenarios.js'
import { until } from '../helpers/until.js'

// Compares recordings with the audio that the caller heard, for each way of speaking and each mixType.

const TOGETHER = 6

for (const mixType of ['mono', 'stereo', 'mixed'] as const) {
  t.test(`${mixType}: the agent is recorded within 20 ms of when the caller heard it`, async (t) => {
    await compareAll(t, [...sixScenarios(mixType, 10_000), ...otherScenarios(mixType)], TOGETHER)
  })
}

t.test('after a filled gap, both voices are recorded at their times', async (t) => {
  const call = await agentCall(t, {
    mixType: 'stereo',
    recording: { fillGaps: true },
    agent: async (stream) => {
      stream.write(bytesOf(voice(2_500, 8000, 1)))
      await stream.mark('said')
    },
    during: async (call) => {
      await until(() => call.levels.heard > 0, 'the agent')
      await new Promise((resolve) => setTimeout(resolve, 600))
      call.pauseListening()
      await new Promise((resolve) => setTimeout(resolve, 500))
      call.resumeListening()
    }
  })
  const { channels, heard, listen } = call
  const gaps = listen.recording?.gaps ?? []
  t.equal(gaps.length, 1)
  const [{ atMs, durationMs } = { atMs: 0, durationMs: 0 }] = gaps
  t.ok(durationMs > 350, `${durationMs} ms`)
  const right = channels[1]!
  t.equal(loudMs(right.subarray((atMs + 20) * 8, (atMs + durationMs - 20) * 8)), 0, 'the gap is silent')
  const behind = Math.ceil((atMs + durationMs + 40) * 8)
  const { medianMs, correlation } = likeness(right.subarray(behind), heard.subarray(behind), 8000)
  t.ok(medianMs <= 40, `after the gap, the agent is ${medianMs} ms late`)
  t.ok(correlation > 0.95)
})
