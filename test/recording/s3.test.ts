import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { FinishedRecording } from '../../lib/model/recording.js'
import type { Recordings } from '../../lib/recording/Recordings.js'
import { s3Sink } from '../../lib/recording/s3.js'
import { inspectWav, STREAM_HEADER_BYTES, WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { build, LISTEN, pcm, streamOf, temporaryDirectory, until } from '../helpers/recordings.js'
import { BUCKET, s3 } from '../helpers/s3.js'

const MIB = 1024 * 1024
/** bytes of a recording whose upload has more than two parts */
const LONG = 12 * MIB
const STEREO = { sampleRate: 64_000, channels: 2, mixType: 'stereo' as const }
const AUDIO = Buffer.concat(Array.from({ length: LONG / 65_536 }, (_, at) => pcm(at, 0, 32_768)))

async function record(recordings: Recordings, listen = LISTEN): Promise<FinishedRecording> {
  const recorder = recordings.start(streamOf({ ...listen, ...STEREO }))
  for (let at = 0; at < AUDIO.length; at += MIB) {
    recorder.write(AUDIO.subarray(at, at + MIB), 0)
    await new Promise(setImmediate)
  }
  return await recorder.finish(listen)
}

async function gone(path: string): Promise<boolean> {
  return await access(path).then(
    () => false,
    () => true
  )
}

t.test('a complete recording goes to S3 in parts, and its sidecar stays', async (t) => {
  const server = await s3(t)
  await server.start()
  const { recordings, directory } = await build(t, {
    maxBuffered: 32 * MIB,
    fileName: () => 'a/call',
    sink: s3Sink({ client: server.client, bucket: BUCKET, prefix: 'eu/' })
  })
  const later: FinishedRecording[] = []
  await recordings.recover((_, recording) => {
    later.push(recording)
  })
  let recording = await record(recordings)
  // finish() waits 4 s for the upload. On a busy machine the upload takes longer, and the state is spooled at
  // first.
  if (recording.state === 'spooled') recording = await until(() => later[0], 'the recording to be sent')
  t.match(recording, {
    state: 'saved',
    location: `s3://${BUCKET}/eu/a/call.wav`,
    bytes: LONG + WAV_HEADER_BYTES,
    etag: /^[0-9a-f]{32}/
  })
  const object = await server.get('eu/a/call.wav')
  t.ok(object.subarray(WAV_HEADER_BYTES).equals(AUDIO))
  t.match(inspectWav(object), { ...STEREO, mixType: undefined, dataBytes: LONG })
  t.ok(await gone(join(directory, 'a/call.wav')), 'the file is deleted from this disk')
  t.match(JSON.parse(await readFile(join(directory, 'a/call.json'), 'utf8')), {
    id: LISTEN.id,
    recording: { location: recording.location }
  })
  t.same(await server.unfinished(), [])
})

/** Returns recordings that go to the server, and, as they come, those that are sent after they were spooled. */
async function sending(t: Test, server: Awaited<ReturnType<typeof s3>>) {
  const built = await build(t, {
    maxBuffered: 32 * MIB,
    fileName: () => 'call',
    sink: s3Sink({ client: server.client, bucket: BUCKET })
  })
  const later: FinishedRecording[] = []
  await built.recordings.recover((_, recording) => {
    later.push(recording)
  })
  return { ...built, later }
}

t.test('a recording is spooled while S3 is unreachable, and sent when S3 is back', async (t) => {
  const server = await s3(t)
  const { recordings, logger, later } = await sending(t, server)
  const recording = await record(recordings)
  t.match(recording, { state: 'spooled', location: /call\.wav$/ })
  t.ok(
    (await readFile(recording.location)).subarray(WAV_HEADER_BYTES).equals(AUDIO),
    'the whole recording is on this disk'
  )
  t.match(
    logger.lines.filter(({ level }) => level === 'error'),
    [{ text: /sent again/, fields: { err: { code: 'FST_JAMBONZ_RECORDING_SINK', message: /ECONNREFUSED/ } } }]
  )
  await server.start()
  await until(() => later.length, 'the recording to be sent', 60_000)
  t.match(later, [{ state: 'saved', location: `s3://${BUCKET}/call.wav` }])
  t.ok((await server.get('call.wav')).subarray(WAV_HEADER_BYTES).equals(AUDIO))
})

t.test(
  'an S3 server that was killed during an upload gets the whole recording later, and keeps no parts',
  async (t) => {
    const server = await s3(t)
    await server.start(100)
    const { recordings, later } = await sending(t, server)
    const finished = record(recordings)
    await server.uploading()
    await server.kill()
    t.match(await finished, { state: 'spooled' })
    await server.start()
    await until(() => later.length, 'the recording to be sent', 60_000)
    t.ok((await server.get('call.wav')).subarray(WAV_HEADER_BYTES).equals(AUDIO))
    t.same(await server.unfinished(), [])
  }
)

t.test('a recording that the process could not send is sent after the next start', async (t) => {
  const server = await s3(t)
  await server.start(100)
  const directory = await temporaryDirectory(t)
  const options = { directory, maxBuffered: 32 * MIB, fileName: () => 'call' }
  const first = await build(t, { ...options, sink: s3Sink({ client: server.client, bucket: BUCKET }) })
  const finished = record(first.recordings)
  await server.uploading()
  await first.recordings.close()
  t.match(await finished, { state: 'spooled' })
  const calls: unknown[] = []
  const sink = s3Sink({
    client: server.client,
    bucket: BUCKET,
    key: (stream, { name }) => {
      calls.push(stream.call.from)
      return name
    }
  })
  const second = await build(t, { ...options, sink })
  const sent: FinishedRecording[] = []
  await second.recordings.recover((_, recording) => {
    sent.push(recording)
  })
  // Only saved recordings count, because on a busy machine recordingSpooled is emitted first.
  const saved = () => sent.filter(({ state }) => state === 'saved')
  await until(() => saved().length, 'the recording to be sent', 60_000)
  t.match(saved(), [{ state: 'saved', location: `s3://${BUCKET}/call.wav` }])
  t.same(calls, ['+15083084809'], 'the sink gets the same call after the restart')
  t.match(
    second.logger.lines.find(({ fields }) => fields['location'] !== undefined),
    { level: 'info', text: 'a complete recording of an earlier process was found' },
    'no process died, so the log says nothing of that'
  )
  t.ok((await server.get('call.wav')).subarray(WAV_HEADER_BYTES).equals(AUDIO))
  t.same(await server.unfinished(), [])
})

t.test(
  'without a directory the audio is sent to S3 during the call, and after a failure no parts of the upload remain',
  async (t) => {
    const server = await s3(t)
    await server.start()
    const { recordings } = await build(t, {
      directory: undefined,
      maxBuffered: 32 * MIB,
      sink: s3Sink({ client: server.client, bucket: BUCKET })
    })
    const recording = await record(recordings)
    const name =
      '2026/02/03/0d4a3f70-b6a3-4b4f-a2b7-c9b1a3e5d7f9-0d4a3f70b6a34b4fa2b7c9b1a3e5d7f9-00112233445566aa.wav'
    t.match(recording, { state: 'saved', location: `s3://${BUCKET}/${name}` })
    const object = await server.get(name)
    t.equal(inspectWav(object).dataBytes, undefined, 'the header has no length, because it was sent first')
    t.ok(object.subarray(STREAM_HEADER_BYTES).equals(AUDIO))

    const recorder = recordings.start(streamOf({ ...STEREO, id: 'broken-off' }))
    recorder.write(AUDIO, 0)
    await server.uploading()
    await recordings.close()
    await until(async () => (await server.unfinished()).length === 0, 'the parts of the upload to be removed')
    await t.rejects(recorder.finish(LISTEN), { code: 'FST_JAMBONZ_RECORDING_CLOSED' })
  }
)

t.test("a part size below S3's minimum is refused at registration", async (t) => {
  const { client } = await s3(t)
  t.throws(() => s3Sink({ client, bucket: BUCKET, partSize: MIB }), /no parts of less than 5242880 bytes/)
})
