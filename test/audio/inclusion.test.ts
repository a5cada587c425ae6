import t from 'tap'
import { InclusionCheck } from '../../lib/audio/playback/InclusionCheck.js'
import { bytesOf } from '../../lib/pcm/samples.js'
import { voice } from '../helpers/agentCalls.js'
import { keepingLogger } from '../helpers/log.js'

const FRAME = 160
const LENGTH_MS = 4_000

type Sound = (at: number) => number

const of =
  (samples: Int16Array): Sound =>
  (at) =>
    samples[at] ?? 0
const none: Sound = () => 0
const times =
  (sound: Sound, dB: number): Sound =>
  (at) =>
    sound(at) * 10 ** (dB / 20)
const late =
  (sound: Sound, ms: number): Sound =>
  (at) =>
    sound(at - ms * 8)
const sum =
  (...sounds: Sound[]): Sound =>
  (at) =>
    sounds.reduce((total, sound) => total + sound(at), 0)
const tone =
  (hz: number, level = 6_000): Sound =>
  (at) =>
    level * Math.sin((2 * Math.PI * hz * at) / 8000)
const constant =
  (value: number): Sound =>
  () =>
    value

const AGENT = of(voice(LENGTH_MS))
const CALLER = of(voice(LENGTH_MS, 8000, 99))
const NOISE = times(of(voice(LENGTH_MS, 8000, 5)), -45)

/**
 * Returns how many frames of 20 ms the InclusionCheck left out, the index of the last such frame, and whether
 * the check logged that the media server includes the application's audio.
 */
function leftOut(theirs: Sound, ours: Sound, channels = 1) {
  const { logger, said } = keepingLogger()
  const check = new InclusionCheck(8000, channels, logger)
  let count = 0
  let last = -1
  for (let at = 0; at < LENGTH_MS * 8; at += FRAME) {
    const heard = Int16Array.from({ length: FRAME }, (_, i) => ours(at + i))
    const frame = new Int16Array(FRAME * channels)
    for (let i = 0; i < FRAME; i++) frame[i * channels + channels - 1] = theirs(at + i)
    if (!check.isIncluded(bytesOf(frame), heard)) continue
    count++
    last = at / FRAME
  }
  return { count, last, noticed: said('includes the application').length > 0 }
}

t.test(
  "when jambonz' frames already include the application's audio, the audio is not added a second time",
  async (t) => {
    for (const [name, theirs] of Object.entries({
      'alone': AGENT,
      'one frame late': late(AGENT, 20),
      'late by a part of a frame': late(AGENT, 37),
      'a little louder': times(AGENT, 2),
      'with noise': sum(AGENT, NOISE),
      'with a caller who is as loud': sum(AGENT, CALLER),
      'with a caller who is louder': sum(AGENT, times(CALLER, 6))
    })) {
      for (const channels of [1, 2]) {
        const { count, noticed } = leftOut(theirs, AGENT, channels)
        t.ok(noticed, name)
        t.ok(count >= LENGTH_MS / 20 - 3, `${name}: ${count} frames`)
      }
    }
  }
)

t.test("other audio in jambonz' frames makes the check leave out at most 0.4 s of the agent", async (t) => {
  for (const [name, theirs, ours, most] of [
    ['silence', none, AGENT, 0],
    ['comfort noise', NOISE, AGENT, 0],
    ['an echo at -30 dB', late(times(AGENT, -30), 100), AGENT, 0],
    ['an echo at -30 dB, and the caller', sum(late(times(AGENT, -30), 100), CALLER), AGENT, 20],
    ['a loud echo', late(times(AGENT, -6), 100), AGENT, 20],
    ['a loud echo that comes soon', late(times(AGENT, -6), 40), AGENT, 20],
    ['the caller', CALLER, AGENT, 20],
    ['a caller who is louder', times(CALLER, 6), AGENT, 20],
    ['an offset', constant(1_000), AGENT, 0],
    ['an offset beside a constant', constant(1_000), constant(1_000), 0],
    ['an utterance that is too quiet to be found', NOISE, times(AGENT, -36), 200],
    ['another tone', tone(440), tone(523), 20],
    ['a loud echo of a tone', late(times(tone(440), -6), 100), tone(440), 20],
    ['silence beside a tone', none, tone(440), 0]
  ] as Array<[string, Sound, Sound, number]>) {
    for (const channels of [1, 2]) {
      const { count, last, noticed } = leftOut(theirs, ours, channels)
      t.notOk(noticed, name)
      t.ok(count <= most, `${name}: ${count} frames, until ${last}`)
    }
  }
})
