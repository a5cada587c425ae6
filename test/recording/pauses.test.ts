import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { build, LISTEN, pcm, streamOf, until } from '../helpers/recordings.js'

const FRAME_MS = 20
const FRAME = 160
const SECRET = Buffer.alloc(FRAME * 2, 0x5e)

async function samplesOf(location: string): Promise<Buffer> {
  return (await readFile(location)).subarray(WAV_HEADER_BYTES)
}

t.test('a pause reaches the disk as silence of the same length', async (t) => {
  const { recordings } = await build(t)
  const recorder = recordings.start(streamOf())
  recorder.write(pcm(1, 0, FRAME), 0)
  recorder.pause()
  t.equal(recorder.state, 'paused')
  for (let frame = 0; frame < 50; frame++) recorder.write(SECRET, 0)
  recorder.resume()
  t.equal(recorder.state, 'recording')
  recorder.write(pcm(1, FRAME, FRAME), 0)
  const recording = await recorder.finish(LISTEN)
  const expected = Buffer.concat([pcm(1, 0, FRAME), Buffer.alloc(50 * FRAME * 2), pcm(1, FRAME, FRAME)])
  t.ok((await samplesOf(recording.location)).equals(expected))
  t.match(recording.pauses, [
    { mode: 'silence', atMs: FRAME_MS, durationMs: 50 * FRAME_MS, startedAt: /Z$/, endedAt: /Z$/ }
  ])
})

t.test('a pause with mode skip is not in the file, and a pause without an end is listed', async (t) => {
  const { recordings } = await build(t)
  const recorder = recordings.start(streamOf())
  recorder.write(pcm(1, 0, FRAME), 0)
  recorder.pause('skip')
  recorder.pause('silence') // has no effect: the recorder is paused already
  recorder.write(SECRET, 0)
  recorder.write(SECRET, 40)
  recorder.resume()
  recorder.resume()
  recorder.write(pcm(1, FRAME, FRAME), 0)
  recorder.pause('skip')
  recorder.write(SECRET, 0)
  const recording = await recorder.finish(LISTEN)
  t.ok((await samplesOf(recording.location)).equals(pcm(1, 0, 2 * FRAME)))
  t.match(recording.pauses, [
    { mode: 'skip', atMs: 20, durationMs: 80 },
    { mode: 'skip', atMs: 40, durationMs: 20 }
  ])
  t.notOk(recording.pauses[1]?.endedAt)
  t.same(recording.gaps, [], 'a gap during a pause counts as part of the pause')
})

t.test('the sidecar of a live recording lists its pauses, which a repair needs', async (t) => {
  const { recordings, directory } = await build(t, { fileName: () => 'live' })
  const recorder = recordings.start(streamOf())
  recorder.pause('skip') // the recorder has no file yet
  recorder.write(SECRET, 0)
  const noted = await until(async () => {
    const name = (await readdir(directory)).find((file) => /^live\.part\.json\.[^.]+$/.test(file))
    const sidecar = name === undefined ? '' : await readFile(join(directory, name), 'utf8')
    return sidecar.includes('"skip"') ? sidecar : undefined
  }, 'the note')
  t.match(JSON.parse(noted), { id: LISTEN.id, recorder: { pauses: [{ mode: 'skip' }] } })
  await recorder.finish(LISTEN)
})

t.test('gaps are measured, and fillGaps fills them with silence', async (t) => {
  for (const fillGaps of [false, true]) {
    const { recordings } = await build(t, { fillGaps })
    const recorder = recordings.start(streamOf())
    recorder.write(pcm(1, 0, FRAME), 0)
    recorder.write(pcm(1, FRAME, FRAME), 60)
    recorder.write(pcm(1, 2 * FRAME, FRAME), 0)
    const recording = await recorder.finish(LISTEN)
    const gap = Buffer.alloc(fillGaps ? 3 * FRAME * 2 : 0)
    t.ok(
      (await samplesOf(recording.location)).equals(
        Buffer.concat([pcm(1, 0, FRAME), gap, pcm(1, FRAME, 2 * FRAME)])
      )
    )
    t.same(recording.gaps, [{ atMs: 20, durationMs: 60, filled: fillGaps }])
    t.equal(recording.durationMs, fillGaps ? 120 : 60)
  }
})

t.test('many small gaps add no rounding error, and a long gap takes no memory', async (t) => {
  const { recordings } = await build(t, { fillGaps: true, maxBuffered: 1_048_576, sha256: false })
  const recorder = recordings.start(streamOf())
  const frame = pcm(1, 0, 16)
  for (let at = 0; at < 1000; at++) recorder.write(frame, 1.03)
  recorder.write(frame, 600_000)
  const recording = await recorder.finish(LISTEN)
  const expected = 1001 * 2 + 1000 * 1.03 + 600_000
  t.ok(Math.abs(recording.durationMs - expected) <= 1, `${recording.durationMs} ms, not ${expected}`)
  t.equal(recording.gaps.length, 500, 'at most 500 gaps are listed one by one')
})

t.test('peak and RMS are computed for each channel', async (t) => {
  const { recordings } = await build(t)
  const recorder = recordings.start(streamOf({ channels: 2, mixType: 'stereo' }))
  const stereo = Buffer.alloc(8000 * 4)
  for (let at = 0; at < 8000; at++) {
    stereo.writeInt16LE(Math.round(16_384 * Math.sin((at / 8000) * 2 * Math.PI * 1000)), at * 4)
    stereo.writeInt16LE(at === 4000 ? -32_768 : 0, at * 4 + 2)
  }
  recorder.write(stereo, 0)
  const { levels } = await recorder.finish(LISTEN)
  t.same(levels, [
    { peakDb: -6, rmsDb: -9 },
    { peakDb: 0, rmsDb: -39 }
  ])
  const silent = recordings.start(streamOf({ id: 'silent' }))
  silent.write(Buffer.alloc(320), 0)
  t.same((await silent.finish(LISTEN)).levels, [{ peakDb: -120, rmsDb: -120 }])
})
