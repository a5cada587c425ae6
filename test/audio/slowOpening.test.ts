import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { GapMeter } from '../../lib/audio/socket/GapMeter.js'
import type { Listen } from '../../lib/index.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'

t.jobs = 3

/** ms that jambonz keeps while its socket is not open; when that is full, all of it is thrown away (mod_audio_fork) */
const KEPT = 2_000
const BYTES_PER_MS = 16
const NEAR = 200

interface Times {
  /** ms that the application's own hook needs before the upgrade is answered */
  upgradeMs: number
  /** ms since the request at which jambonz closes */
  closeAtMs: number
  maxLength?: number
  /** jambonz resamples: nothing is lost */
  resampled?: boolean
}

/** Takes a call as mod_audio_fork does: in real time since its request for the socket. */
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
    // Looked at once: a process that stands still between the two would leave audio out.
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

t.test('a slow upgrade of a resampled listen loses nothing', async (t) => {
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

t.test('an upgrade within 2 s loses nothing', async (t) => {
  const { listen } = await slowly(t, { upgradeMs: 1_500, closeAtMs: 2_200 })
  // A machine that stands still at the end is a gap as well, but what jambonz loses it loses whole.
  t.ok(listen.audio.gapMs < KEPT / 2, `${listen.audio.gapMs} ms`)
})

t.test('the gap of a slow upgrade is measured once audio comes in real time', async (t) => {
  /** Feeds pieces of audio as [when, ms]; returns the gap. */
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
  t.equal(gapOf(3_000, [[3_000, 3_000], ...live(3_020, 200)]), 0, 'all has come at once')
  t.equal(
    gapOf(3_000, [[3_000, 1_000], [3_700, 2_700], ...live(3_720, 200)], 800),
    0,
    'the rest came with the next batch'
  )
  t.equal(
    gapOf(500, [[3_000, 20], ...live(3_020, 200)]),
    0,
    'a quick opening has lost nothing: the audio began later'
  )
  t.equal(gapOf(6_000, [[6_000, 2_000]]), 4_000, 'and where nothing follows')
})
