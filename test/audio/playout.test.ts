import t from 'tap'
import { CallRate } from '../../lib/audio/playback/FilePlayback.js'
import { HeardTrack } from '../../lib/audio/playback/HeardTrack.js'
import { PlayoutModel } from '../../lib/audio/playback/PlayoutModel.js'
import { StreamingPlayback } from '../../lib/audio/playback/StreamingPlayback.js'
import { Utterance } from '../../lib/audio/playback/Utterance.js'
import { silenceOf } from '../../lib/pcm/samples.js'
import { keepingLogger } from '../helpers/log.js'

const report = { lastOffset: 0, playbackMs: 0, durationMs: 3_000, elapsedMs: 10_000, stopped: true }

t.test("heardMs of a file is computed from the offset and the call's rate", async (t) => {
  t.test('heardMs of a stopped file is exact, though playbackMs is rounded to steps of 2,048', async (t) => {
    const rate = new CallRate()
    t.equal(rate.heardMs({ ...report, lastOffset: 7_520, playbackMs: 2_048, elapsedMs: 1_050 }), 940)
    t.equal(rate.heardMs({ ...report, lastOffset: 23_520, playbackMs: 4_096, elapsedMs: 3_050 }), 2_940)
  })

  t.test('on a wideband call, heardMs is at most the elapsed time', async (t) => {
    const rate = new CallRate()
    t.equal(rate.heardMs({ ...report, lastOffset: 15_040, playbackMs: 2_048, elapsedMs: 1_050 }), 940)
    t.equal(rate.heardMs({ ...report, lastOffset: 48_000, stopped: false }), 3_000)
    t.equal(
      rate.heardMs({ ...report, lastOffset: 1_600 }),
      100,
      'after a file that was played whole, the rate of the call is known'
    )
  })

  t.test('the report of a file that is too short does not determine the rate of the call', async (t) => {
    const rate = new CallRate()
    t.equal(rate.heardMs({ ...report, lastOffset: 160, durationMs: 20, stopped: false }), 20)
    t.equal(rate.heardMs({ ...report, lastOffset: 48_000, durationMs: 6_000, elapsedMs: 3_100 }), 3_000)
  })

  t.test('heardMs is 0 if the report has no values', async (t) => {
    t.equal(new CallRate().heardMs({ ...report, lastOffset: 0, elapsedMs: 0 }), 0)
  })
})

/** Adds 20 ms of audio every 20 ms. Returns the ms after which playout begins, according to the model. */
function beginsAt(model: PlayoutModel, rate: number, from = 0): number {
  for (let at = from; at < from + 1_000; at += 20) if (model.audio(rate / 50, at)) return at - from
  return NaN
}

t.test('jambonz begins to play after 160 ms of audio and continues in steps of 80 ms', async (t) => {
  for (const rate of [8_000, 16_000, 24_000]) {
    const model = new PlayoutModel(rate)
    t.equal(beginsAt(model, rate), 140, `${rate} Hz: playout begins with the eighth piece`)
    t.equal(beginsAt(model, rate, 5_000), 60, 'later, playout begins with the fourth piece')
  }
})

t.test(
  'if the rate of the call is unknown, so much audio is sent at once that playout begins at any rate',
  async (t) => {
    const model = new PlayoutModel(16_000)
    t.equal(model.toBegin(0), 2_560, 'enough for a call of 8 kHz; a call of 16 kHz needs half of it')
    model.audio(2_560, 0)
    t.equal(model.toBegin(100), 0, 'no minimum while jambonz plays')
    t.equal(model.toBegin(200), 1_280)
    t.equal(
      new PlayoutModel(8_000).toBegin(0),
      0,
      'at 8 kHz the rate of the call is known, so there is no minimum'
    )
  }
)

t.test('audio() tells if jambonz may have run out of audio', async (t) => {
  const model = new PlayoutModel(8_000)
  t.equal(model.audio(800, 0), false)
  t.equal(model.audio(480, 10), 'dry', 'nothing was played before')
  t.equal(model.audio(640, 20), 'behind')
  t.equal(model.audio(640, 400), 'dry')
})

t.test('a late report of a mark does not make the next report seem too early', async (t) => {
  const model = new PlayoutModel(8_000)
  model.audio(16_000, 0)
  t.equal(model.isTooEarly(500, 520, 1), false)
  model.reported(500, 1_000)
  t.equal(model.isTooEarly(1_000, 1_020, 1), false, 'the report is in time')
  t.equal(model.isTooEarly(1_900, 1_040, 1), true, 'the caller can not have heard so much')
  t.equal(model.isTooEarly(1_900, 1_040, 5), false, 'possible in a test at five times real time')
})

/** Returns a track at 8 kHz, mono, that answers each ping at once. `receivedMs`: ms of audio that has arrived. */
function trackAt(receivedMs: () => number): HeardTrack {
  const rate = 8_000
  return new HeardTrack({
    rate,
    sampleRate: rate,
    channels: 1,
    mixType: 'mono',
    startMs: 0,
    earliest: Infinity,
    receivedMs,
    ping: (onPong) => onPong(),
    roundTrip: () => 0,
    logger: keepingLogger().logger
  })
}

t.test('what was heard in a frame is the same if nobody asked for the frames before it', async (t) => {
  let now = 1_000
  t.intercept(performance, 'now', { value: () => now })
  const tracks = { asked: trackAt(() => now - 1_000), lazy: trackAt(() => now - 1_000) }
  const frames = { asked: [] as Array<number | undefined>, lazy: [] as Array<number | undefined> }
  const labels = { asked: [] as number[], lazy: [] as number[] }
  const silence = silenceOf(160)
  for (let frame = 1; frame <= 100; frame++) {
    now += 20
    for (const name of ['asked', 'lazy'] as const) {
      const track = tracks[name]
      track.write(silence, frame === 70 ? 240 : 0)
      const isAsked = name === 'asked' || frame % 17 === 0
      frames[name].push(isAsked ? track.heardIn(silence)?.[80] : undefined)
      if (frame === 90) track.clear(now)
      if (frame % 2 === 0 || frame > 60) continue
      // Two chunks of 20 ms, each with its own value, every 40 ms
      const released = frame % 4 === 1 ? 'behind' : false
      for (const value of [2 * frame, 2 * frame + 1]) {
        track.audio(Buffer.from(new Int16Array(160).fill(value).buffer), released, now, frame === 31)
      }
      if (frame === 41) track.labelNext((atMs) => labels[name].push(atMs))
    }
  }
  const seventeenth = (_: unknown, at: number) => (at + 1) % 17 === 0
  t.same(frames.lazy.filter(seventeenth), frames.asked.filter(seventeenth))
  t.ok(frames.asked.filter((value) => value !== undefined && value > 0).length > 50, 'audio was heard')
  t.equal(labels.asked.length, 1)
  t.same(labels.lazy, labels.asked, 'a label is called at the same time')
})

/** Returns the playback of a stream at 8 kHz whose clock is `now()`, and a function that sends `ms` of audio. */
function playbackAt(now: () => number) {
  const { logger } = keepingLogger()
  const rate = 8_000
  const track = trackAt(now)
  const playback: StreamingPlayback = new StreamingPlayback({
    rate,
    socket: { send: () => {}, sendText: () => {}, unsent: 0, speed: 1 },
    backlog: () => 0,
    onMark: () => {},
    beginRun: () =>
      new Utterance({
        id: 'run',
        text: undefined,
        bytesPerMs: 16,
        write: () => true,
        refuse: () => false,
        finish: () => {},
        playedMs: () => playback.playedMs,
        onOver: () => {}
      }),
    isPrivate: false,
    track,
    logger
  })
  return { playback, send: (ms: number) => playback.sendNow(silenceOf(ms * 8)) }
}

t.test('audio that was heard still counts as heard when more audio is sent during its padding', async (t) => {
  let now = 1_000
  t.intercept(performance, 'now', { value: () => now })
  const { playback, send } = playbackAt(() => now)
  t.ok(send(160) && send(40), '160 ms begin to play, and 40 ms wait for more')
  now += 110
  playback.tick(now, false)
  now += 105
  t.ok(send(20), 'sent while jambonz plays the padding behind the 200 ms')
  t.equal(playback.sentMs, 220)
  t.equal(playback.playedMs, 200)
  playback.clear()
  t.equal(playback.sentMs, 200, 'a clear drops only the last 20 ms')
  playback.end()
})
