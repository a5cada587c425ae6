import { spawnSync } from 'node:child_process'
import { openSync } from 'node:fs'
import { open, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import {
  buildStreamHeader,
  buildWavHeader,
  bytesOf,
  inspectWav,
  repairWav,
  WAV_HEADER_BYTES
} from '../../lib/pcm/wavHeader.js'
import { RecordingFile } from '../../lib/recording/RecordingFile.js'
import { missing, pcm, temporaryDirectory } from '../helpers/recordings.js'

const MONO = { sampleRate: 8000, channels: 1 }
const GIB = 1024 ** 3

t.test('a WAV header has the right sizes at every sample rate', async (t) => {
  for (const sampleRate of [8000, 16_000, 24_000, 48_000, 64_000]) {
    for (const channels of [1, 2]) {
      const header = buildWavHeader({ sampleRate, channels }, 4000)
      t.equal(header.length, WAV_HEADER_BYTES)
      t.equal(header.readUInt32LE(4), WAV_HEADER_BYTES - 8 + 4000)
      t.match(inspectWav(header), {
        sampleRate,
        channels,
        bitsPerSample: 16,
        dataOffset: WAV_HEADER_BYTES,
        dataBytes: 4000,
        rf64: false
      })
    }
  }
})

t.test('from 4 GiB on, the header is RF64, and as long as a WAV header', async (t) => {
  const largest = 0xffff_fffe - (WAV_HEADER_BYTES - 8)
  t.match(inspectWav(buildWavHeader(MONO, largest)), { rf64: false, dataBytes: largest })
  t.match(inspectWav(buildWavHeader(MONO, largest + 2)), { rf64: true, dataBytes: largest + 2 })
  const header = buildWavHeader({ sampleRate: 64_000, channels: 2 }, 9 * GIB)
  t.equal(header.length, WAV_HEADER_BYTES)
  t.equal(header.toString('latin1', 0, 4), 'RF64')
  t.equal(header.readBigUInt64LE(36), BigInt((9 * GIB) / 4), 'number of sample frames')
  t.match(inspectWav(header), { rf64: true, dataBytes: 9 * GIB })
})

t.test('the header of a stream says that its length is unknown', async (t) => {
  t.equal(inspectWav(buildStreamHeader(MONO)).dataBytes, undefined)
})

t.test('WAV files of other programs can be read, whichever chunks they have', async (t) => {
  const chunk = (id: string, body: Buffer): Buffer => {
    const head = Buffer.alloc(8)
    head.write(id, 'latin1')
    head.writeUInt32LE(body.length, 4)
    return Buffer.concat([head, body, Buffer.alloc(body.length % 2)])
  }
  const format = buildWavHeader(MONO, 0).subarray(20, 36)
  const riff = Buffer.from('RIFF\x00\x00\x00\x00WAVE', 'latin1')
  const list = chunk('LIST', Buffer.from('odd'))
  t.match(inspectWav(Buffer.concat([riff, list, chunk('fmt ', format), chunk('data', Buffer.alloc(2))])), {
    sampleRate: 8000,
    dataBytes: 2,
    dataOffset: 56
  })
  const refused: Array<[Buffer, RegExp]> = [
    [Buffer.from('RIFF'), /ends before its RIFF header/],
    [Buffer.from('OggS........WAVE'), /does not begin with/],
    [Buffer.concat([riff, chunk('data', Buffer.alloc(2))]), /before its fmt chunk/],
    [Buffer.concat([riff, chunk('fmt ', format)]), /ends before its data chunk/],
    [Buffer.concat([riff, chunk('fmt ', format).subarray(0, 20)]), /ends within its fmt chunk/],
    [Buffer.concat([riff, chunk('LIST', Buffer.alloc(4)).subarray(0, 10)]), /ends before its data chunk/],
    [
      Buffer.concat([
        riff,
        chunk('fmt ', Buffer.concat([Buffer.from([7, 0]), format.subarray(2)])),
        chunk('data', Buffer.alloc(2))
      ]),
      /not PCM \(format 7\)/
    ]
  ]
  for (const [head, message] of refused) {
    t.throws(() => inspectWav(head), { message })
  }
})

t.test('after a repair, a file that was cut at any byte has only whole blocks', async (t) => {
  const stereo = { sampleRate: 16_000, channels: 2 }
  for (const [bytes, dataBytes] of [
    [0, 0],
    [17, 0],
    [80, 0],
    [83, 0],
    [84, 4],
    [87, 4],
    [80 + 4001, 4000]
  ] as const) {
    const { header, ...repair } = repairWav(stereo, bytes)
    t.same(repair, { dataBytes, fileBytes: WAV_HEADER_BYTES + dataBytes }, `${bytes} bytes`)
    t.equal(inspectWav(header).dataBytes, dataBytes)
  }
})

t.test('milliseconds are converted to bytes of whole blocks', async (t) => {
  t.equal(bytesOf({ sampleRate: 8000, channels: 2 }, 20), 640)
  t.equal(bytesOf({ sampleRate: 8000, channels: 2 }, 0.1), 4)
})

t.test(
  'the header of a file that grew beyond 4 GiB becomes RF64, which sox and ffprobe can read',
  { skip: missing('sox') || missing('ffprobe') },
  async (t) => {
    const path = join(await temporaryDirectory(t), 'long.wav')
    // The file is sparse, so that it needs no room on the disk.
    const dataBytes = 5 * GIB
    await writeFile(path, buildWavHeader(MONO, 0))
    await truncate(path, WAV_HEADER_BYTES + dataBytes)
    const end = pcm(1, 0, 80)
    const file = await open(path, 'r+')
    await file.write(buildWavHeader(MONO, dataBytes), 0, WAV_HEADER_BYTES, 0)
    await file.write(end, 0, end.length, WAV_HEADER_BYTES + dataBytes - end.length)
    await file.close()
    const ffprobe = spawnSync(
      'ffprobe',
      ['-v', 'error', '-show_entries', 'stream=duration_ts,codec_name,sample_rate', '-of', 'csv=p=0', path],
      { encoding: 'utf8' }
    )
    t.equal(ffprobe.stdout.trim(), `pcm_s16le,8000,${dataBytes / 2}`)
    const tail = spawnSync('ffmpeg', [
      '-v',
      'error',
      '-ss',
      String(dataBytes / 2 / 8000 - 0.01),
      '-i',
      path,
      '-f',
      's16le',
      '-'
    ])
    t.ok(tail.stdout.equals(end), 'sox reads the last samples, which are beyond 4 GiB')
  }
)

t.test('a file can grow beyond 4 GiB during the call', async (t) => {
  const path = join(await temporaryDirectory(t), 'growing.wav')
  await writeFile(path, '')
  const wav = new RecordingFile(path, openSync(path, 'r+'), MONO)
  const step = (operation: (done: (error?: Error | null) => void) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      operation((error) => {
        if (error) reject(error)
        else resolve()
      })
    })
  // Pretends that 4 GiB have been written: makes the file sparse and sets the counter.
  await truncate(path, WAV_HEADER_BYTES + 4 * GIB)
  wav.continueAt({ dataBytes: 4 * GIB, bytes: WAV_HEADER_BYTES + 4 * GIB, frames: 1 })
  await step((done) => {
    wav.append(pcm(1, 0, 160), 320, done)
  })
  await step((done) => {
    wav.patchHeader(done)
  })
  await step((done) => {
    wav.close(done)
  })
  const file = await open(path, 'r')
  const head = Buffer.alloc(WAV_HEADER_BYTES)
  const tail = Buffer.alloc(321)
  await file.read(head, 0, head.length, 0)
  const { bytesRead } = await file.read(tail, 0, tail.length, WAV_HEADER_BYTES + 4 * GIB)
  await file.close()
  t.match(inspectWav(head), { rf64: true, dataBytes: 4 * GIB + 320 })
  t.equal(bytesRead, 320)
  t.ok(tail.subarray(0, 320).equals(pcm(1, 0, 160)))
})
