import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { PassThrough } from 'node:stream'
import t from 'tap'
import type { FinishedRecording } from '../../lib/model/recording.js'
import { withKnown } from '../../lib/recording/directory/sidecar.js'
import { build, LISTEN, pcm, streamOf, temporaryDirectory } from '../helpers/recordings.js'

const SOCKET = {
  endedAt: '2026-01-01T00:00:00.000Z',
  audio: { frames: 1, bytes: 320, durationMs: 20, gapMs: 0, maxGapMs: 0 }
}

t.test(
  'the second socket of a listen gets a second file, and the sidecar of the first file lists both files',
  async (t) => {
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
      segments: [
        { location: join(directory, 'call.wav'), durationMs: 1000, gapBeforeMs: 0 },
        { location: join(directory, 'call.2.wav'), durationMs: 500 }
      ]
    })
    t.ok((recording.segments?.[1]?.gapBeforeMs ?? -1) >= 0)
    t.same(JSON.parse(await readFile(join(directory, 'call.json'), 'utf8')), {
      ...LISTEN,
      state: 'ended',
      call: { from: '+15083084809', data: {} },
      recording
    })
    t.match(JSON.parse(await readFile(join(directory, 'call.2.json'), 'utf8')), {
      id: LISTEN.id,
      recording: { durationMs: 500 }
    })
  }
)

t.test('segments are listed in order, whichever is finished first, on one instance or on two', async (t) => {
  const directory = await temporaryDirectory(t)
  const one = await build(t, { directory })
  const two = await build(t, { directory })
  const first = one.recordings.start(streamOf())
  first.write(pcm(1, 0, 160), 0)
  const part = one.recordings.start(streamOf({ id: 'other' }))
  await part.finish(LISTEN) // by now the first recorder has its file
  const second = two.recordings.start(streamOf({ segments: [SOCKET] }))
  second.write(pcm(1, 160, 160), 0)
  const third = one.recordings.start(streamOf({ segments: [SOCKET, SOCKET] }))
  third.write(pcm(1, 320, 160), 0)
  const finished: FinishedRecording[] = []
  for (const recorder of [second, third, first]) finished.push(await recorder.finish(LISTEN))
  t.match(
    finished.at(-1)?.segments?.map((segment) => segment.location.slice(-12)),
    [/[0-9a-f]\.wav$/, /\.2\.wav$/, /\.3\.wav$/]
  )
  t.equal(finished.at(-1)?.durationMs, 60)
})

t.test("a segment in another instance's directory is listed, and its file has another name", async (t) => {
  const [one, two] = [await build(t), await build(t)]
  const first = one.recordings.start(streamOf())
  first.write(pcm(1, 0, 160), 0)
  const recording = await first.finish(LISTEN)
  const second = two.recordings.start(streamOf({ segments: [SOCKET] }))
  second.write(pcm(1, 160, 160), 0)
  const both = await second.finish({ ...LISTEN, segments: [SOCKET], recording })
  t.match(both, {
    id: recording.id,
    location: recording.location,
    durationMs: 40,
    segments: [{ durationMs: 20 }, { durationMs: 20 }]
  })
  const names = both.segments?.map(({ location }) => basename(location))
  t.equal(
    names?.[1],
    names?.[0]?.replace(/\.wav$/, '.2.wav'),
    'neither file overwrites the other if a sink sends both'
  )
})

t.test("without a directory, a sink gets each socket's recording under its own name", async (t) => {
  const names: string[] = []
  const { recordings } = await build(t, {
    directory: undefined,
    sink: (_stream, { name }) => {
      names.push(name)
      return new PassThrough().resume()
    }
  })
  const recording = await recordings.start(streamOf()).finish(LISTEN)
  const next = await recordings
    .start(streamOf({ segments: [SOCKET] }))
    .finish({ ...LISTEN, segments: [SOCKET] })
  t.equal(names[1], names[0]?.replace(/\.wav$/, '.2.wav'))
  t.match(
    withKnown(next, recording).segments?.map(({ location }) => location),
    names
  )
})

t.test('a segment that is completed late is listed at its place in the order', async (t) => {
  const { recordings } = await build(t)
  const second = await recordings
    .start(streamOf({ segments: [SOCKET] }))
    .finish({ ...LISTEN, segments: [SOCKET] })
  const first = {
    ...second,
    id: 'first',
    state: 'saved' as const,
    location: '/first.wav',
    durationMs: 5,
    startedAt: new Date(0).toISOString(),
    endedAt: new Date(1).toISOString()
  }
  const known = withKnown(first, second)
  t.match(known, {
    id: 'first',
    location: '/first.wav',
    endedAt: second.endedAt,
    segments: [{ id: 'first' }, { id: second.id }]
  })
  const moved = { ...first, location: 's3://first.wav' }
  t.match(withKnown(moved, known), {
    location: 's3://first.wav',
    segments: [{ location: 's3://first.wav' }, { location: second.location }]
  })
  t.equal(withKnown(moved, first), moved, 'a single recording is unchanged')
  t.equal(withKnown(moved, undefined), moved)
})
