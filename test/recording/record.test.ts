import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { inspectWav, WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { build, LISTEN, pcm, streamOf, until } from '../helpers/recordings.js'

t.test(
  'a recording is a WAV of all samples, named after call and listen, with the Listen in its sidecar',
  async (t) => {
    const { recordings, directory } = await build(t)
    const recorder = recordings.start(streamOf())
    t.equal(recorder.state, 'recording')
    const sent: Buffer[] = []
    for (let frame = 0; frame < 300; frame++) {
      const audio = pcm(1, frame * 160, 160)
      sent.push(Buffer.from(audio))
      recorder.write(audio, 0)
      audio.fill(0xaa) // the recorder must have copied the frame
    }
    const ended = { ...LISTEN, state: 'ended' as const, endReason: 'closed' as const }
    const recording = await recorder.finish(ended)
    t.equal(recorder.state, 'saved')
    const base = join(
      directory,
      '2026/02/03/0d4a3f70-b6a3-4b4f-a2b7-c9b1a3e5d7f9-0d4a3f70b6a34b4fa2b7c9b1a3e5d7f9-00112233445566aa'
    )
    t.equal(recording.location, `${base}.wav`)
    const file = await readFile(recording.location)
    t.equal(recording.bytes, file.length)
    t.equal(recording.durationMs, 6000)
    t.equal(recording.sha256, createHash('sha256').update(file).digest('hex'))
    t.match(inspectWav(file), { sampleRate: 8000, channels: 1, bitsPerSample: 16, dataBytes: 96_000 })
    t.ok(file.subarray(WAV_HEADER_BYTES).equals(Buffer.concat(sent)))
    t.same(JSON.parse(await readFile(`${base}.json`, 'utf8')), {
      ...ended,
      call: { from: '+15083084809', data: {} },
      recording
    })
    t.same(
      (await readdir(dirname(base))).sort(),
      [`${base}.json`, `${base}.wav`].map((path) => path.slice(dirname(base).length + 1)).sort(),
      'no other files are left'
    )
  }
)

t.test('frames that are longer than a block of the writer are recorded completely', async (t) => {
  const { recordings } = await build(t)
  for (const [seed, { sampleRate, channels }] of [
    { sampleRate: 8000, channels: 1 },
    { sampleRate: 16_000, channels: 2 },
    { sampleRate: 64_000, channels: 2 }
  ].entries()) {
    const mixType = channels === 2 ? ('stereo' as const) : ('mono' as const)
    const recorder = recordings.start(streamOf({ id: `any-${seed}`, sampleRate, channels, mixType }))
    let from = 0
    for (const samples of [2, 24_640, 16_384, 8192, 8190, 150_000, 4, 32_768]) {
      recorder.write(pcm(seed, from, samples), 0)
      from += samples
    }
    const recording = await recorder.finish(LISTEN)
    const file = await readFile(recording.location)
    t.ok(file.subarray(WAV_HEADER_BYTES).equals(pcm(seed, 0, from)), `${sampleRate} Hz, ${channels} channels`)
    t.match(inspectWav(file), { sampleRate, channels, dataBytes: from * 2 })
  }
})

t.test(
  'during the call, the recording is a valid file with the extension .part.wav, which grows',
  async (t) => {
    const { recordings, directory } = await build(t, { flushInterval: 50, fileName: () => 'live' })
    const recorder = recordings.start(streamOf())
    recorder.write(pcm(1, 0, 160), 0)
    const path = join(directory, 'live.part.wav')
    await until(
      async () => (await readFile(path).catch(() => Buffer.alloc(0))).length === WAV_HEADER_BYTES + 320,
      'the first flush'
    )
    recorder.write(pcm(1, 160, 160), 0)
    await until(async () => (await readFile(path)).length === WAV_HEADER_BYTES + 640, 'the second flush')
    t.match(inspectWav(await readFile(path)), { sampleRate: 8000, channels: 1 })
    await recorder.finish(LISTEN)
    await t.rejects(readFile(path), { code: 'ENOENT' })
  }
)

t.test('the recording of a listen without audio is a WAV without samples', async (t) => {
  const { recordings } = await build(t)
  const recording = await recordings.start(streamOf()).finish(LISTEN)
  t.match(recording, { durationMs: 0, bytes: WAV_HEADER_BYTES })
})
