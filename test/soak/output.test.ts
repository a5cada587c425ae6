import t from 'tap'
import { compareAll, otherScenarios, sixScenarios } from '../helpers/agentScenarios.js'

// How near a recording is to what the caller heard: all ways of speaking, for each mixType.

const TOGETHER = 6

for (const mixType of ['mono', 'stereo', 'mixed'] as const) {
  t.test(`${mixType}: the agent is recorded within 20 ms of when he was heard`, async (t) => {
    await compareAll(t, [...sixScenarios(mixType, 10_000), ...otherScenarios(mixType)], TOGETHER)
  })
}
