import assert from 'node:assert/strict'
import fc from 'fast-check'
import { BATCH_INTERVAL } from '../../lib/audio/socket/frames/SocketReader.js'
import { FRAME_MS } from '../../lib/pcm/samples.js'
import { gapsFound, trueGaps, type Span, type TimedCall } from '../helpers/timedCall.js'
import { nothingToEnd, type FuzzTarget } from './target.js'

/** ms by which a gap may be measured wrongly: what counts as jitter between two reads (60), and a frame */
const TOLERANCE = 80
/** ms of the longest silence that counts as jitter */
const JITTER = 15

const span = (least: number, maxFrom: number, minMs: number, maxMs: number): fc.Arbitrary<Span> =>
  fc.record({ from: fc.integer({ min: least, max: maxFrom }), ms: fc.integer({ min: minMs, max: maxMs }) })

const calls = {
  latencyMs: fc.integer({ min: 0, max: 40 }),
  jitterMs: fc.array(fc.integer({ min: 0, max: JITTER }), { minLength: 1, maxLength: 9 }),
  readMs: fc.constantFrom(0, 40, 200, BATCH_INTERVAL),
  firstReadMs: fc.integer({ min: 0, max: BATCH_INTERVAL }),
  callMs: fc.integer({ min: 12_000, max: 13_000 })
}

/** A call with one gap, far from both ends, on a calm network. */
const withGap: fc.Arbitrary<TimedCall> = fc.record({
  ...calls,
  single: fc.boolean(),
  gaps: fc.tuple(fc.oneof(span(2_000, 6_000, 300, 1_200), span(2_000, 4_000, 300, 4_000))),
  networkStalls: fc.constant([]),
  processStalls: fc.constant([])
})

/** A call without a gap. The network stalls, but not at its end; the process stalls at any time. */
const withStalls: fc.Arbitrary<TimedCall> = fc.record({
  ...calls,
  gaps: fc.constant([]),
  networkStalls: fc.array(fc.oneof(span(0, 4_000, 20, 900), span(0, 4_000, 20, 4_000)), { maxLength: 2 }),
  processStalls: fc.array(fc.oneof(span(0, 13_000, 20, 4_000), span(11_000, 13_000, 20, 3_000)), {
    maxLength: 2
  })
})

/** Returns the ms by which the place of a gap may be wrong. */
function uncertainty(readMs: number, gapMs: number): number {
  return readMs === BATCH_INTERVAL ? Math.max(0, (BATCH_INTERVAL - gapMs) / 2) + TOLERANCE : FRAME_MS
}

/** Random gaps and stalls. Each gap is found once, at its place; a stall is no gap. */
export const gaps: FuzzTarget = {
  name: 'gaps',
  share: 0.1,
  async begin() {
    return {
      property: fc.property(fc.oneof(withGap, withStalls), (call) => {
        const { placed, totalMs, longestMs } = gapsFound(call)
        const told = JSON.stringify({ placed, totalMs, expected: trueGaps(call) })
        const [gap] = trueGaps(call)
        if (gap === undefined) return assert.equal(totalMs, 0, `a stall is no gap: ${told}`)
        assert.equal(placed.length, 1, `one gap: ${told}`)
        const [found] = placed as [typeof gap]
        assert.ok(Math.abs(found.ms - gap.ms) <= TOLERANCE, `its length: ${told}`)
        assert.ok(Math.abs(found.atMs - gap.atMs) <= uncertainty(call.readMs, gap.ms), `its place: ${told}`)
        assert.equal(found.ms, totalMs, 'the counts have the same gap')
        assert.equal(found.ms, longestMs)
      }),
      end: nothingToEnd
    }
  }
}
