import { Readable } from 'node:stream'
import { mock } from 'node:test'
import Fastify from 'fastify'
import t from 'tap'
import type { SocketReader } from '../../lib/audio/socket/frames/SocketReader.js'
import { GapMeter } from '../../lib/audio/socket/GapMeter.js'
import { PlayoutModel } from '../../lib/audio/playback/PlayoutModel.js'
import { ReaderSide } from '../../lib/audio/stream/readers.js'

t.test('GapMeter finds the gaps in audio', async (t) => {
  /**
   * Passes frames of 20 ms at `times` to a GapMeter. Returns the gaps found, each with the index of the next
   * frame.
   */
  function gapsAt(times: number[], batchMs = 0): Array<[frame: number, gapMs: number]> {
    const meter = new GapMeter()
    meter.opened(0, 0)
    meter.batchMs = batchMs
    const found: Array<[number, number]> = []
    let heldFrom = -1
    const judge = () => {
      const gap = meter.judge()
      if (gap > 0) found.push([heldFrom, gap])
      heldFrom = -1
    }
    for (const [frame, now] of times.entries()) {
      if (heldFrom >= 0 && meter.isDue(now)) judge()
      if (meter.doubts(now, 20)) {
        if (heldFrom < 0) heldFrom = frame
      } else if (heldFrom >= 0) judge()
    }
    if (heldFrom >= 0) judge()
    return found
  }
  const steady = (frames: number, from = 0) => Array.from({ length: frames }, (_, i) => from + i * 20)

  await t.test('steady audio has no gap, even over an hour of drifting clocks', async (t) => {
    t.same(gapsAt(steady(1000)), [])
    t.same(gapsAt(Array.from({ length: 180_000 }, (_, i) => i * 20 * 1.0001)), [])
    t.same(gapsAt(Array.from({ length: 180_000 }, (_, i) => i * 20 * 0.9999)), [])
  })

  await t.test('frames that arrive with jitter have no gap', async (t) => {
    t.same(gapsAt(steady(1000).map((at, i) => at + ((i * 7919) % 150))), [])
  })

  await t.test('a pause is a gap of the same length before the next frame', async (t) => {
    t.same(gapsAt([...steady(50), ...steady(50, 3000)]), [[50, 2000]])
  })

  await t.test('two pauses are two gaps', async (t) => {
    t.same(gapsAt([...steady(50), ...steady(50, 3000), ...steady(50, 5000)]), [
      [50, 2000],
      [100, 1000]
    ])
  })

  await t.test('a stall is no gap if the delayed audio follows in a burst', async (t) => {
    t.same(
      gapsAt([...steady(50), ...Array.from({ length: 150 }, (_, i) => 4000 + i), ...steady(50, 4150)]),
      []
    )
  })

  await t.test('after a stall, only the audio that was dropped is a gap', async (t) => {
    const burst = Array.from({ length: 100 }, (_, i) => 4000 + i / 10)
    const [[frame, gap] = [0, 0], ...more] = gapsAt([...steady(50), ...burst, ...steady(50, 4020)])
    t.equal(frame, 50)
    t.ok(Math.abs(gap - 1020) <= 2, `${gap} ms`)
    t.same(more, [])
  })

  await t.test('the time between two batches is no gap; a longer pause is a gap', async (t) => {
    const batches = (frames: number, from = 0) =>
      steady(frames, from).map((at) => Math.ceil((at + 1) / 200) * 200)
    t.same(gapsAt(batches(1000), 200), [])
    const [[frame, gap] = [0, 0], ...more] = gapsAt([...batches(100), ...batches(100, 4000)], 200)
    t.equal(frame, 100)
    t.ok(Math.abs(gap - 2000) <= 200, `${gap} ms`)
    t.same(more, [])
  })

  await t.test('audio that arrives faster than real time has no gap', async (t) => {
    t.same(gapsAt(Array.from({ length: 1000 }, (_, i) => i)), [])
  })
})

t.test('a reader that stalls for 30 s is ended, and the plugin continues to read the socket', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const lines: string[] = []
  const { log } = Fastify({
    logger: {
      stream: {
        write: (line: string) => {
          lines.push(line)
        }
      }
    }
  })
  let waits = false
  const flow = {
    waitFor() {
      waits = true
      return true
    },
    resumeFor() {
      waits = false
    }
  } as unknown as SocketReader
  const stream = new Readable({ read() {} })
  const side = new ReaderSide(stream, flow, 1000, { logger: log })
  side.arrive()
  side.push(Buffer.alloc(1001))
  t.ok(waits)
  mock.timers.tick(30_000)
  t.notOk(waits)
  t.notOk(side.takes)
  t.match(lines, [/stood still for 30000 ms/])
  stream.resume()
  await new Promise((resolve) => stream.once('end', resolve))
})

t.test('PlayoutModel computes what jambonz plays', async (t) => {
  await t.test(
    'playout begins with 160 ms and continues in steps of 80 ms; `missing` is what the last step lacks',
    async (t) => {
      const playout = new PlayoutModel(8000)
      playout.audio(1279, 0)
      t.equal(playout.missing, 1)
      t.ok(playout.dryIn(0) < 0)
      playout.audio(1, 0)
      t.equal(playout.missing, 0)
      t.equal(playout.dryIn(0), 160)
      playout.audio(639, 0)
      t.equal(playout.missing, 1)
      playout.silence(1, 0)
      t.equal(playout.dryIn(0), 240)
    }
  )

  await t.test("the model pads a whole step of 80 ms when the call's rate is unknown", async (t) => {
    const playout = new PlayoutModel(16_000)
    playout.audio(10_000, 0)
    t.equal(playout.missing, 1280)
  })

  await t.test(
    'the model follows the clock, stops at a mark that is not reported, and is corrected by marks',
    async (t) => {
      const playout = new PlayoutModel(8000)
      playout.audio(8000, 0)
      t.equal(playout.playedMs(500, Infinity), 500)
      t.equal(playout.playedMs(900, 700), 700)
      playout.reported(700, 950)
      t.equal(playout.playedMs(1050, Infinity), 800)
      playout.clear(1150, Infinity)
      t.equal(playout.sentMs, 900)
      t.equal(playout.playedMs(9000, Infinity), 900)
    }
  )
})
