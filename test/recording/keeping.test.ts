import { spawnSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { chmod, mkdir, open, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import t, { type Test } from 'tap'
import { decryptRecording } from '../../lib/recording/encryption.js'
import type { FinishedRecording } from '../../lib/model/recording.js'
import { Instances } from '../../lib/recording/directory/Instances.js'
import type { Recordings } from '../../lib/recording/Recordings.js'
import { Retention } from '../../lib/recording/Retention.js'
import { inspectWav, WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import {
  build,
  LISTEN,
  memoryLogger,
  missing,
  streamOf,
  temporaryDirectory,
  until
} from '../helpers/recordings.js'

const KEY = Buffer.alloc(32, 7)
const noffmpeg = missing('ffmpeg')
/** maximum ms to wait for ffmpeg */
const FFMPEG_PATIENCE = 60_000
/** one second of silence, 8 kHz mono, in place of speech */
const TONE = Buffer.alloc(16_000)
for (let at = 0; at < 8000; at++) {
  TONE.writeInt16LE(Math.round(9000 * Math.sin((at / 8000) * 2 * Math.PI * 440)), at * 2)
}

async function decrypt(path: string, key: Parameters<typeof decryptRecording>[0] = KEY): Promise<Buffer> {
  const stream = decryptRecording(key)
  const [bytes] = await Promise.all([
    buffer(stream),
    pipeline(createReadStream(path, { highWaterMark: 777 }), stream)
  ])
  return bytes
}

/** Returns the samples that ffmpeg decodes from a file, as s16le. */
function decode(input: string, bytes?: Buffer): Buffer {
  return spawnSync('ffmpeg', ['-v', 'error', '-i', input, '-f', 's16le', 'pipe:1'], {
    input: bytes,
    maxBuffer: 64 * 1024 * 1024
  }).stdout
}

t.test(
  'sox and ffprobe read recordings of every sample rate, even during the call',
  { skip: missing('sox') || missing('ffprobe') },
  async (t) => {
    const { recordings, directory } = await build(t, {
      flushInterval: 50,
      fileName: ({ listen }) => listen.id
    })
    for (const sampleRate of [8000, 16_000, 24_000, 48_000, 64_000]) {
      for (const channels of [1, 2]) {
        const id = `r${sampleRate}x${channels}`
        const recorder = recordings.start(
          streamOf({ id, sampleRate, channels, mixType: channels === 2 ? 'stereo' : 'mono' })
        )
        recorder.write(TONE, 0)
        const live = join(directory, `${id}.part.wav`)
        await until(
          async () => (await readFile(live).catch(() => Buffer.alloc(0))).length > WAV_HEADER_BYTES,
          'the first flush'
        )
        for (const path of [live, (await recorder.finish(LISTEN)).location]) {
          if (path === live) continue
          t.equal(spawnSync('soxi', ['-r', path], { encoding: 'utf8' }).stdout.trim(), String(sampleRate))
          t.equal(spawnSync('soxi', ['-c', path], { encoding: 'utf8' }).stdout.trim(), String(channels))
          t.equal(spawnSync('sox', [path, '-n'], { encoding: 'utf8' }).stderr, '', 'sox prints no warning')
        }
      }
    }
    const recorder = recordings.start(streamOf({ id: 'live' }))
    const live = join(directory, 'live.part.wav')
    const end = Date.now() + 5000
    // Until the first update of the header, the header says that the file has no audio.
    while (Date.now() < end) {
      recorder.write(TONE, 0)
      const head = await readFile(live).catch(() => Buffer.alloc(0))
      if (head.length > WAV_HEADER_BYTES && (inspectWav(head).dataBytes ?? 0) > 0) break
      await new Promise((resolve) => {
        setTimeout(resolve, 50)
      })
    }
    const sox = spawnSync('sox', [live, '-t', 's16', '-'])
    t.equal(sox.status, 0)
    t.ok(
      sox.stdout.length > 0 && sox.stdout.subarray(0, TONE.length).equals(TONE),
      'sox reads the audio so far'
    )
    const ffprobe = spawnSync(
      'ffprobe',
      ['-v', 'error', '-show_entries', 'stream=codec_name,sample_rate,channels', '-of', 'csv=p=0', live],
      { encoding: 'utf8' }
    )
    t.equal(ffprobe.stdout.trim(), 'pcm_s16le,8000,1')
    t.equal(ffprobe.stderr, '')
    await recorder.finish(LISTEN)
  }
)

t.test('an encrypted recording writes no plain byte to the disk, and the key decrypts the WAV', async (t) => {
  const asked: string[] = []
  const { recordings, directory } = await build(t, {
    flushInterval: 50,
    fileName: () => 'call',
    encryption: {
      keyId: '2026-02',
      key: async (keyId) => {
        asked.push(keyId)
        return KEY
      }
    }
  })
  const recorder = recordings.start(streamOf())
  recorder.write(TONE, 0)
  const part = join(directory, 'call.part.wav.enc')
  await until(
    async () => (await readFile(part).catch(() => Buffer.alloc(0))).length > TONE.length,
    'the first flush'
  )
  for (let at = 0; at < 30; at++) recorder.write(TONE, 0)
  const recording = await recorder.finish(LISTEN)
  t.match(recording, {
    location: join(directory, 'call.wav.enc'),
    format: 'wav',
    encrypted: true,
    durationMs: 31_000,
    state: 'saved'
  })
  const file = await readFile(recording.location)
  t.equal(recording.bytes, file.length)
  for (const plain of [TONE.subarray(100, 116), Buffer.from('RIFF'), Buffer.from('WAVEfmt ')]) {
    t.equal(file.indexOf(plain), -1)
  }
  const wav = await decrypt(recording.location)
  t.ok(wav.subarray(WAV_HEADER_BYTES).equals(Buffer.concat(Array.from({ length: 31 }, () => TONE))))
  t.equal(inspectWav(wav).dataBytes, 31 * TONE.length)
  t.same(asked, ['2026-02'])
  t.ok(
    (
      await decrypt(recording.location, (keyId) => {
        t.equal(keyId, '2026-02')
        return KEY
      })
    ).equals(wav)
  )
})

t.test('decrypting fails if a recording was altered or cut, or if the key is wrong', async (t) => {
  const { recordings } = await build(t, { encryption: { key: () => KEY } })
  const recorder = recordings.start(streamOf())
  for (let at = 0; at < 5; at++) recorder.write(TONE, 0)
  const { location } = await recorder.finish(LISTEN)
  const file = await readFile(location)
  const path = `${location}.bad`
  const bad = async (bytes: Buffer, message: RegExp, key = KEY): Promise<void> => {
    await writeFile(path, bytes)
    await t.rejects(decrypt(path, key), { code: 'FST_JAMBONZ_RECORDING_DECRYPT', message })
  }
  const altered = Buffer.from(file)
  altered[5000] = (altered[5000] ?? 0) ^ 1
  await bad(altered, /frame 1 is damaged/)
  await bad(file.subarray(0, -36), /its end is missing/)
  await bad(file.subarray(0, 4000), /its end is missing/)
  await bad(Buffer.concat([file, Buffer.from('x')]), /something follows it/)
  await bad(Buffer.concat([file, file.subarray(-36)]), /something follows its end/)
  await bad(file, /the key is not the one/, Buffer.alloc(32, 8))
  await bad(file, /the key has 5 bytes, but must have 32$/, Buffer.from('short'))
  const hex = Buffer.alloc(32, 7).toString('hex') as unknown as typeof KEY
  await bad(
    file,
    /the key is a string, not a Buffer of 32 bytes: decode it, as in Buffer\.from\(key, 'hex'\)$/,
    hex
  )
  await bad(Buffer.from('RIFF'.repeat(40)), /not an encrypted recording/)
  const huge = Buffer.from(file)
  huge.writeUInt32LE(0xffff_ffff, 64)
  await bad(huge, /damaged/)
})

t.test('a recording whose key is not available fails with an error that says so', async (t) => {
  for (const key of [
    () => {
      throw new Error('vault is sealed')
    },
    () => Buffer.alloc(16),
    () => 'key' as unknown as typeof KEY
  ]) {
    const { recordings, directory } = await build(t, { encryption: { key } })
    await t.rejects(recordings.start(streamOf()).finish(LISTEN), {
      code: 'FST_JAMBONZ_RECORDING_KEY',
      message: /could not be encrypted: .*(sealed|16 bytes|not a Buffer).*Let encryption\.key/
    })
    t.same(
      (await readdir(directory, { recursive: true })).filter((name) => name.includes('call')),
      []
    )
  }
})

t.test('the next start completes the encrypted recording of a process that died', async (t) => {
  const directory = await temporaryDirectory(t)
  const encryption = { key: () => KEY }
  const { recordings } = await build(t, { directory, fileName: () => 'call', encryption })
  const recorder = recordings.start(streamOf())
  recorder.write(TONE, 0)
  await recordings.close()
  const file = await open(join(directory, 'call.part.wav.enc'), 'a')
  await file.write(Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3])) // a frame that was written in part
  await file.close()
  const next = await build(t, { directory, encryption })
  const recovered: FinishedRecording[] = []
  await next.recordings.recover((_, recording) => {
    recovered.push(recording)
  })
  t.match(recovered, [
    {
      location: join(directory, 'call.wav.enc'),
      encrypted: true,
      recovered: true,
      durationMs: 1000,
      levels: [{ peakDb: -11.2 }]
    }
  ])
  t.ok((await decrypt(join(directory, 'call.wav.enc'))).subarray(WAV_HEADER_BYTES).equals(TONE))
})

t.test(
  'a start with a wrong key logs an error, and leaves the file for a start with the right key',
  async (t) => {
    const directory = await temporaryDirectory(t)
    const { recordings } = await build(t, {
      directory,
      fileName: () => 'call',
      encryption: { key: () => KEY }
    })
    const recorder = recordings.start(streamOf())
    recorder.write(TONE, 0)
    await recordings.close()
    const file = await readFile(join(directory, 'call.part.wav.enc'))
    const wrong = await build(t, { directory, encryption: { key: () => Buffer.alloc(32, 8) } })
    await wrong.recordings.recover(() => {
      t.fail('no recording is complete')
    })
    await wrong.recordings.close()
    t.match(wrong.logger.lines, [
      {
        level: 'error',
        fields: { err: { code: 'FST_JAMBONZ_RECORDING_DECRYPT', message: /the key is not the one/ } }
      }
    ])
    t.ok((await readFile(join(directory, 'call.part.wav.enc'))).equals(file), 'the file is unchanged')
    // A header may be damaged, if an update of it was written in part. The audio after the header must still
    // be recovered.
    file.fill(7, 70, 80)
    await writeFile(join(directory, 'call.part.wav.enc'), file)
    const right = await build(t, { directory, encryption: { key: () => KEY } })
    const recovered: FinishedRecording[] = []
    await right.recordings.recover((_, recording) => {
      recovered.push(recording)
    })
    t.match(recovered, [{ durationMs: 1000 }])
    t.ok((await decrypt(join(directory, 'call.wav.enc'))).subarray(WAV_HEADER_BYTES).equals(TONE))
  }
)

/**
 * Returns a function that resolves to a finished recording when ffmpeg has converted it. ffmpeg runs at the
 * lowest priority. On a busy machine it may therefore finish after finish() has stopped waiting; the state is
 * then spooled.
 */
async function compressing(
  recordings: Recordings
): Promise<(finished: FinishedRecording) => Promise<FinishedRecording>> {
  const later: FinishedRecording[] = []
  await recordings.recover((_, recording) => {
    later.push(recording)
  })
  return async (finished) =>
    finished.state === 'spooled'
      ? await until(() => later.pop(), 'ffmpeg to finish', FFMPEG_PATIENCE)
      : finished
}

t.test(
  'another process converts a complete recording of any sample rate to FLAC, Opus or MP3',
  { skip: noffmpeg },
  async (t) => {
    for (const format of ['flac', 'opus', 'mp3'] as const) {
      const { recordings, directory } = await build(t, {
        format,
        fileName: ({ sampleRate }) => `call${sampleRate}`
      })
      const compressed = await compressing(recordings)
      for (const sampleRate of [8000, 64_000]) {
        const recorder = recordings.start(streamOf({ sampleRate }))
        recorder.write(TONE, 0)
        const recording = await compressed(await recorder.finish(LISTEN))
        t.match(recording, {
          state: 'saved',
          format,
          location: join(directory, `call${sampleRate}.${format}`),
          durationMs: 8_000_000 / sampleRate
        })
        const heard = decode(recording.location)
        if (format === 'flac') t.ok(heard.equals(TONE), 'FLAC keeps every sample')
        else t.ok(heard.length > 0)
      }
      t.same(
        (await readdir(directory)).sort(),
        ['.instances', 'call64000.json', `call64000.${format}`, 'call8000.json', `call8000.${format}`].sort()
      )
    }
  }
)

t.test(
  'a recording that is encrypted and compressed writes no plain byte to the disk',
  { skip: noffmpeg },
  async (t) => {
    const { recordings, directory } = await build(t, {
      format: 'flac',
      encryption: { key: () => KEY },
      fileName: () => 'call'
    })
    const compressed = await compressing(recordings)
    const recorder = recordings.start(streamOf())
    recorder.write(TONE, 0)
    const recording = await compressed(await recorder.finish(LISTEN))
    t.match(recording, { location: join(directory, 'call.flac.enc'), format: 'flac', encrypted: true })
    t.ok(decode('pipe:0', await decrypt(recording.location)).equals(TONE))
    t.same((await readdir(directory)).sort(), ['.instances', 'call.flac.enc', 'call.json'])
  }
)

t.test('the WAV is kept if ffmpeg fails', async (t) => {
  const directory = await temporaryDirectory(t)
  const fake = join(directory, 'ffmpeg')
  // This ffmpeg passes the check at registration, and fails at each conversion.
  await writeFile(fake, '#!/bin/sh\ncase "$*" in *s16le*) exit 0;; esac\necho it hurts >&2; exit 3\n')
  await chmod(fake, 0o755)
  const { recordings, logger } = await build(t, {
    directory,
    format: 'flac',
    ffmpeg: fake,
    fileName: () => 'call'
  })
  const recorder = recordings.start(streamOf())
  recorder.write(TONE, 0)
  const recording = await recorder.finish(LISTEN)
  t.match(recording, { state: 'saved', format: 'wav', location: join(directory, 'call.wav') })
  t.match(logger.lines, [
    {
      level: 'error',
      text: /it stays a WAV/,
      fields: { err: { code: 'FST_JAMBONZ_RECORDING_FFMPEG', message: /it hurts/ } }
    }
  ])
})

t.test('a sink gets a complete recording and its length, and gets both again after a failure', async (t) => {
  const attempts: number[] = []
  const got: Buffer[] = []
  const { recordings, directory } = await build(t, {
    fileName: () => 'call',
    sink: (_, { attempt, name, recording }) => {
      attempts.push(attempt)
      t.match(
        { name, recording },
        { name: 'call.wav', recording: { durationMs: 1000, sha256: /^[0-9a-f]{64}$/ } }
      )
      if (attempt === 1) throw new Error('engaged')
      return new Writable({
        write(chunk: Buffer, _encoding, done) {
          got.push(chunk)
          done()
        }
      })
    }
  })
  const later: FinishedRecording[] = []
  await recordings.recover((_, recording) => {
    later.push(recording)
  })
  const recorder = recordings.start(streamOf())
  recorder.write(TONE, 0)
  t.match(await recorder.finish(LISTEN), { state: 'spooled', location: join(directory, 'call.wav') })
  await until(() => later.length, 'the second attempt')
  t.same(attempts, [1, 2])
  t.match(inspectWav(Buffer.concat(got)), { dataBytes: TONE.length })
  t.match(later, [{ state: 'saved', location: 'call.wav' }])
})

t.test('retention deletes complete recordings, the oldest first, then empty directories', async (t) => {
  const directory = await temporaryDirectory(t)
  const first = await build(t, { directory, fileName: ({ listen }) => `${listen.id}/call` })
  for (const id of ['one', 'two', 'three']) {
    const recorder = first.recordings.start(streamOf({ id }))
    recorder.write(TONE, 0)
    await recorder.finish({ ...LISTEN, id })
  }
  const live = first.recordings.start(streamOf({ id: 'live' }))
  live.write(TONE, 0)
  const age = async (name: string, minutes: number): Promise<void> => {
    const at = new Date(Date.now() - minutes * 60_000)
    for (const file of await readdir(join(directory, name))) await utimes(join(directory, name, file), at, at)
  }
  await until(
    async () => (await readdir(join(directory, 'live')).catch(() => [])).length === 2,
    'the file of the live recording'
  )
  for (const [name, minutes] of [
    ['one', 40],
    ['two', 30],
    ['three', 20],
    ['live', 50]
  ] as const) {
    await age(name, minutes)
  }
  await mkdir(join(directory, 'theirs'))
  await writeFile(join(directory, 'theirs/call.wav'), 'x')
  await writeFile(join(directory, 'theirs/call.json'), '{"not":"ours"}')
  await age('theirs', 100)

  const old = await build(t, { directory, retention: { maxAge: 35 * 60_000 } })
  await until(() => old.logger.lines.length, 'the deletion to be logged')
  t.match(old.logger.lines, [{ level: 'info', fields: { deleted: 1 } }])
  t.same((await readdir(directory)).sort(), ['.instances', 'live', 'theirs', 'three', 'two'])

  const many = await build(t, { directory, retention: { maxBytes: 20_000, interval: 50 } })
  await until(() => many.logger.lines.length, 'the deletion to be logged')
  t.same((await readdir(directory)).sort(), ['.instances', 'live', 'theirs', 'three'])
  t.match(await live.finish(LISTEN), { state: 'saved' })
})

/** Instances whose clock, which dates the files, is `at`. */
class DatedInstances extends Instances {
  at = Date.now()
  looks = 0

  override async now(): Promise<number> {
    this.looks++
    return this.at
  }
}

/** Writes complete recordings with these dates, by their names. */
async function dated(t: Test, directory: string, dates: Record<string, number>): Promise<void> {
  const { recordings } = await build(t, { directory, fileName: ({ listen }) => listen.id })
  for (const [id, date] of Object.entries(dates)) {
    const recorder = recordings.start(streamOf({ id }))
    recorder.write(TONE, 0)
    await recorder.finish({ ...LISTEN, id })
    for (const name of [`${id}.wav`, `${id}.json`]) {
      await utimes(join(directory, name), new Date(date), new Date(date))
    }
  }
}

/** Resolves to the dates of the recordings in a directory. */
async function datesIn(directory: string): Promise<Record<string, number>> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.wav')).sort()
  const dates = names.map(async (name) => {
    const { mtimeMs } = await stat(join(directory, name))
    return [name.slice(0, -4), Math.round(mtimeMs)]
  })
  return Object.fromEntries(await Promise.all(dates)) as Record<string, number>
}

const DAY = 86_400_000

t.test('recordings that were dated by a wrong clock count as new for the retention', async (t) => {
  const directory = await temporaryDirectory(t)
  const now = Date.now()
  const ahead = now + 1_000 * DAY
  await dated(t, directory, { boot: 60_000, ahead, old: now - 2 * 3_600_000, fresh: now })
  const { logger } = await build(t, { directory, retention: { maxAge: 3_600_000 } })
  await until(() => logger.lines.length >= 2, 'the deletion to be logged')
  t.match(logger.lines, [
    { level: 'warn', text: /the clock was wrong.*Check the clock/, fields: { recordings: 1 } },
    { level: 'info', fields: { deleted: 1 } }
  ])
  const dates = await datesIn(directory)
  t.same(Object.keys(dates), ['ahead', 'boot', 'fresh'])
  t.equal(dates.ahead, ahead, 'the clock may be behind, so a date ahead may be right')
  for (const name of ['boot', 'fresh']) t.ok(Math.abs((dates[name] ?? 0) - now) < 600_000, `${name} is new`)
})

t.test('the retention keeps recordings with right dates while the clock is behind', async (t) => {
  const directory = await temporaryDirectory(t)
  const now = Math.floor(Date.now() / 1_000) * 1_000
  const dates = { today: now, yesterday: now - DAY }
  await dated(t, directory, dates)
  const logger = memoryLogger()
  const instances = new DatedInstances(directory, 'behind')
  // The machine has started, and has not learned the time from the network.
  instances.at = Date.UTC(2025, 7, 1)
  const limits = { maxAge: 30 * DAY, maxBytes: Infinity, interval: 50 }
  const retention = new Retention(directory, limits, instances, logger)
  retention.start()
  await until(() => instances.looks >= 2, 'a look with the wrong clock')
  instances.at = now
  const looks = instances.looks + 2
  await until(() => instances.looks >= looks, 'a look with the right clock')
  await retention.close()
  t.same(await datesIn(directory), dates)
  t.same(logger.lines, [])
})

t.test('recordings that the retention dates anew keep their order', async (t) => {
  const directory = await temporaryDirectory(t)
  const now = Math.floor(Date.now() / 1_000) * 1_000
  await dated(t, directory, { last: 120_000, first: 60_000 })
  const logger = memoryLogger()
  const instances = new DatedInstances(directory, 'order')
  instances.at = now
  const limits = { maxAge: 30 * DAY, maxBytes: Infinity, interval: 50 }
  const retention = new Retention(directory, limits, instances, logger)
  retention.start()
  await until(() => logger.lines.length > 0, 'the warning')
  await retention.close()
  t.match(logger.lines, [{ level: 'warn', text: /count as new/, fields: { recordings: 2 } }])
  t.same(await datesIn(directory), { first: now, last: now + 1 })
})
