import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { GapMeter } from '../../lib/audio/socket/GapMeter.js'
import type { Listen } from '../../lib/index.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'

t.jobs = 3

/**
 * ms of audio that mod_audio_fork buffers until its socket is open. If the buffer becomes full, the module
 * drops all of it.
 */
const KEPT = 2_000
const BYTES_PER_MS = 16
const NEAR = 200

interface Times {
  /** ms by which the application delays its answer to the upgrade, in a Fastify hook */
  upgradeMs: number
  /** ms from the request for the socket until jambonz closes the socket */
  closeAtMs: number
  maxLength?: number
  /** true: jambonz resamples the audio, in which case it loses none */
  resampled?: boolean
}

/**
 * Simulates a call as mod_audio_fork makes it. Audio is sent in real time, from the request for the socket
 * on.
 */
async function slowly(t: Test, { upgradeMs, closeAtMs, maxLength, resampled = false }: Times) {
  const app = await build(t, { recording: { directory: folder(), fillGaps: true } })
  app.addHook('onRequest', async ({ headers }) => {
    if (headers.upgrade) await delay(upgradeMs)
  })
  app.jambonz.audio('/slow', () => {})
  app.jambonz.webhook('/in', () => [
    {
      verb: 'listen',
      url: '/slow',
      actionHook: '/done',
      mixType: 'mono',
      sampleRate: 8000,
      ...(maxLength && { maxLength })
    }
  ])
  app.jambonz.actionHook('/done', () => [])
  const asked = await askForListen(app, '/in', await listening(app))
  const requestedAt = performance.now()
  const now = () => performance.now() - requestedAt
  const socket = await asked.open()
  socket.send(asked.metadata())
  const openMs = now()
  const lostMs = resampled ? 0 : Math.floor(openMs / KEPT) * KEPT
  let sentMs = lostMs
  const ended = once(app.jambonz.calls.events, 'listenEnded')
  const recorded = once(app.jambonz.calls.events, 'recording')
  while (now() < closeAtMs) {
    // Read the clock only once. If this process stalled between two readings, some audio would be left out.
    const ms = Math.floor(now() - sentMs)
    socket.send(ramp(ms))
    sentMs += ms
    await delay(20)
  }
  socket.close(1000)
  const [listen] = (await ended) as [Listen]
  const [recording] = (await recorded) as [{ durationMs: number }]
  return { listen, recording, lostMs, lengthMs: listen.audio.bytes / BYTES_PER_MS + lostMs }
}

t.test(
  'audio lost to a slow upgrade is a gap in `audio` and in the recording, and counts for maxLength',
  async (t) => {
    const { listen, recording, lostMs, lengthMs } = await slowly(t, {
      upgradeMs: 3_000,
      closeAtMs: 5_000,
      maxLength: 5
    })
    t.ok(Math.abs(listen.audio.gapMs - lostMs) < NEAR, `${listen.audio.gapMs} ms, ${lostMs} lost`)
    t.equal(listen.audio.maxGapMs, listen.audio.gapMs)
    t.ok(
      Math.abs(recording.durationMs - lengthMs) < NEAR,
      `${recording.durationMs} ms recorded of ${lengthMs}`
    )
    t.equal(listen.endReason, 'maxLength')
  }
)

t.test('a slow upgrade of a resampled listen loses no audio', async (t) => {
  const { listen, recording, lengthMs } = await slowly(t, {
    upgradeMs: 3_000,
    closeAtMs: 4_000,
    maxLength: 60,
    resampled: true
  })
  t.equal(listen.audio.gapMs, 0)
  t.ok(Math.abs(recording.durationMs - lengthMs) < NEAR, `${recording.durationMs} ms recorded of ${lengthMs}`)
  t.equal(listen.endReason, 'closed')
})

t.test('an upgrade that takes less than 2 s loses no audio', async (t) => {
  const { listen } = await slowly(t, { upgradeMs: 1_500, closeAtMs: 2_200 })
  // A stall of this machine would be a gap as well, but a short one. jambonz would lose its whole buffer of 2
  // s.
  t.ok(listen.audio.gapMs < KEPT / 2, `${listen.audio.gapMs} ms`)
})

t.test('the gap of a slow upgrade is measured when audio arrives in real time again', async (t) => {
  /** Passes pieces of audio to a GapMeter, each with its time and its length in ms. Returns the gap in ms. */
  const gapOf = (openAt: number, pieces: Array<[at: number, ms: number]>, readMs = 0) => {
    const meter = new GapMeter()
    meter.opened(0, openAt)
    meter.readMs = readMs
    let inDoubt = false
    for (const [at, ms] of pieces) {
      if (inDoubt && meter.isDue(at)) {
        meter.judge()
        inDoubt = false
      }
      const doubtful = meter.doubts(at, ms)
      if (inDoubt && !doubtful) meter.judge()
      inDoubt = doubtful
    }
    if (inDoubt) meter.judge()
    return meter.total
  }
  const live = (from: number, frames: number) =>
    Array.from({ length: frames }, (_, i): [number, number] => [from + i * 20, 20])
  const lost = gapOf(3_000, [[3_000, 1_000], ...live(3_020, 200)])
  t.ok(Math.abs(lost - 2_000) <= 5, `${lost} ms`)
  t.equal(gapOf(3_000, [[3_000, 3_000], ...live(3_020, 200)]), 0, 'all audio arrived at once')
  t.equal(
    gapOf(3_000, [[3_000, 1_000], [3_700, 2_700], ...live(3_720, 200)], 800),
    0,
    'the rest arrived with the next batch'
  )
  t.equal(
    gapOf(500, [[3_000, 20], ...live(3_020, 200)]),
    0,
    'the opening was quick, so nothing was lost; the audio began later'
  )
  t.equal(gapOf(6_000, [[6_000, 2_000]]), 4_000, 'the gap is measured even if no more audio follows')
})
