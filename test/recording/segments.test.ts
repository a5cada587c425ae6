import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { FinishedRecording } from '../../lib/recording/index.js'
import { build, LISTEN, pcm, streamOf, temporaryDirectory } from '../helpers/recordings.js'

t.test('a listen that goes on on another socket gets a second file, and the first\'s sidecar lists both', async (t) => {
  const { recordings, directory } = await build(t, { fileName: () => 'call' })
  const first = recordings.start(streamOf())
  first.write(pcm(1, 0, 8000), 0)
  await first.finish(LISTEN)
  const second = recordings.start(streamOf())
  second.write(pcm(1, 8000, 4000), 0)
  const recording = await second.finish({ ...LISTEN, state: 'ended' })
  t.match(recording, {
    location: join(directory, 'call.wav'),
    durationMs: 1500,
    segments: [{ location: join(directory, 'call.wav'), durationMs: 1000, gapBeforeMs: 0 }, { location: join(directory, 'call.2.wav'), durationMs: 500 }]
  })
  t.ok((recording.segments?.[1]?.gapBeforeMs ?? -1) >= 0)
  t.same(JSON.parse(await readFile(join(directory, 'call.json'), 'utf8')), { ...LISTEN, state: 'ended', recording })
  t.match(JSON.parse(await readFile(join(directory, 'call.2.json'), 'utf8')), { id: LISTEN.id, recording: { durationMs: 500 } })
})

t.test('segments are joined in order whichever is finished first, in one instance or two', async (t) => {
  const directory = await temporaryDirectory(t)
  const one = await build(t, { directory })
  const two = await build(t, { directory })
  const first = one.recordings.start(streamOf())
  first.write(pcm(1, 0, 160), 0)
  const part = one.recordings.start(streamOf({ id: 'other' }))
  await part.finish(LISTEN) // by then the first has its file
  const second = two.recordings.start(streamOf())
  second.write(pcm(1, 160, 160), 0)
  const third = one.recordings.start(streamOf())
  third.write(pcm(1, 320, 160), 0)
  const finished: FinishedRecording[] = []
  for (const recorder of [second, third, first]) finished.push(await recorder.finish(LISTEN))
  t.match(finished.at(-1)?.segments?.map((segment) => segment.location.slice(-12)), [/[0-9a-f]\.wav$/, /\.2\.wav$/, /\.3\.wav$/])
  t.equal(finished.at(-1)?.durationMs, 60)
})

t.test('what an instance with another directory recorded of the listen is listed too', async (t) => {
  const [one, two] = [await build(t), await build(t)]
  const first = one.recordings.start(streamOf())
  first.write(pcm(1, 0, 160), 0)
  const recording = await first.finish(LISTEN)
  const second = two.recordings.start(streamOf())
  second.write(pcm(1, 160, 160), 0)
  const both = await second.finish({ ...LISTEN, recording })
  t.match(both, { location: recording.location, durationMs: 40, segments: [{ durationMs: 20 }, { durationMs: 20 }] })
})
