import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { samplesOf } from '../../lib/pcm/samples.js'
import { playing } from '../helpers/fileCaller.js'
import { missing } from '../helpers/recordings.js'
import { until } from '../helpers/streamPair.js'

const skip = missing('ffmpeg')
const HZ = 440

const encoded = new Map<string, Buffer>()

/**
 * Returns an MP3 of a tone. ffmpeg encodes it at the first call with these arguments; later calls return the
 * same MP3.
 */
function mp3(seconds: number, ...args: string[]): Buffer {
  const key = [seconds, ...args].join(' ')
  const file = encoded.get(key) ?? encode(seconds, args)
  encoded.set(key, file)
  return file
}

function encode(seconds: number, args: readonly string[]): Buffer {
  const source = ['-v', 'error', '-f', 'lavfi', '-i', `sine=${HZ}:d=${seconds}`, '-f', 'mp3']
  const { stdout, stderr } = spawnSync('ffmpeg', [...source, ...args, 'pipe:1'])
  if (stdout.length === 0) throw new Error(String(stderr))
  return stdout
}

/** Returns the frequency of a tone in Hz, from the number of its zero crossings. */
function pitch(samples: Int16Array, rate: number): number {
  const crossings = samples.reduce(
    (sum, sample, i) => sum + Number(i > 0 && sample >= 0 && samples[i - 1]! < 0),
    0
  )
  return (crossings / samples.length) * rate
}

t.test('MP3 files of all kinds are played', { skip }, async (t) => {
  for (const [name, args, rate] of [
    ['mono, 24 kHz, as speech services return it', ['-ac', '1', '-ar', '24000', '-b:a', '48k'], 16_000],
    ['stereo, 44.1 kHz, with an ID3 tag', ['-ac', '2', '-ar', '44100', '-metadata', 'title=Hello'], 16_000],
    ['no ID3 tag, no information frame', ['-id3v2_version', '0', '-write_xing', '0', '-ar', '22050'], 16_000],
    ['of a variable bit rate, 48 kHz', ['-ar', '48000', '-q:a', '4'], 16_000],
    ['MPEG-2.5, 8 kHz', ['-ac', '1', '-ar', '8000', '-b:a', '16k'], 8_000]
  ] as const) {
    const { stream, caller } = await playing(t)
    const done = stream.play(mp3(1, ...args))
    await until(() => caller.received.length > 0)
    const [{ sampleRate, audioContent }] = caller.received as [(typeof caller.received)[0]]
    const samples = samplesOf(Buffer.from(audioContent, 'base64'))
    t.equal(sampleRate, rate, name)
    t.ok(Math.abs(samples.length / rate - 1) < 0.25, `${name}: ${samples.length / rate} s`)
    t.ok(Math.abs(pitch(samples.subarray(rate / 5, rate / 2), rate) - HZ) < 10, name)
    const peak = Math.max(...samples)
    t.ok(peak > 2_000 && peak < 9_000, `${name}: ${peak}`)
    t.match(await done, { event: 'playout' }, name)
  }
})

t.test(
  'an MP3 that is too long is refused, and an MP3 with a broken frame is refused or played',
  { skip },
  async (t) => {
    const { stream } = await playing(t)
    const code = 'FST_JAMBONZ_AUDIO_FILE'
    await t.rejects(stream.play(mp3(490, '-ar', '8000', '-b:a', '8k')), {
      code,
      message: /longer than the 480 s/
    })
    const whole = mp3(1)
    const broken = Buffer.from(whole).fill(0xff, 4, 400)
    const played = await stream.play(broken).then(
      ({ event }) => event,
      (err: { code: string }) => err.code
    )
    t.ok([code, 'playout'].includes(played), `the file with a broken frame: ${played}`)
  }
)

t.test('clear() or a new play() drops an MP3 that is being decoded', { skip }, async (t) => {
  const { stream, caller } = await playing(t)
  const first = stream.play(mp3(20), { id: 'first' })
  const second = stream.play(mp3(1), { id: 'second' })
  t.match(await first, { event: 'cleared', heardMs: 0 })
  t.match(await second, { event: 'playout', id: 'second' })
  t.match(caller.received, [{ id: 'second' }])
})

t.test('files queued after a file that can not be decoded are played', { skip }, async (t) => {
  const { stream } = await playing(t)
  const tooLong = stream.play(mp3(490, '-ar', '8000', '-b:a', '8k'), { queue: true })
  const next = stream.play(mp3(1), { queue: true })
  await t.rejects(tooLong, { code: 'FST_JAMBONZ_AUDIO_FILE' })
  t.match(await next, { event: 'playout' })
})

/**
 * Module hooks for the child process. They make the import of `mpg123-decoder` fail, as if it were not
 * installed.
 */
const HOOKS = `export async function resolve (specifier, context, next) {
  if (specifier !== 'mpg123-decoder') return await next(specifier, context)
  throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
}`
const APPLICATION = `
import { AudioFile } from './dist/lib/audio/playback/AudioFile.js'
const frame = Buffer.concat([Buffer.from([0xff, 0xfb, 0x90, 0x64]), Buffer.alloc(413, 0x55)])
const refusals = []
for (const file of [Buffer.concat([frame, frame]), Buffer.concat(Array(50).fill(frame)).subarray(0, 9_999)]) {
  const file1 = new AudioFile(file, 8000)
  refusals.push(await file1.toCommand('id', () => false).catch(({ code, message }) => ({ code, message })))
}
console.log(JSON.stringify(refusals))
`
const url = (module: string): string => `data:text/javascript,${encodeURIComponent(module)}`

t.test('without mpg123-decoder an MP3 is refused, and the error says what to do instead', async (t) => {
  const register = url(`import { register } from 'node:module'; register(${JSON.stringify(url(HOOKS))})`)
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', register, '--input-type=module', '-e', APPLICATION],
    { env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' } }
  )
  const refusals = JSON.parse(stdout) as Array<{ code: string; message: string }>
  t.equal(refusals.length, 2)
  for (const { code, message } of refusals) {
    t.equal(code, 'FST_JAMBONZ_AUDIO_FILE')
    t.match(message, /it is MP3.*npm install mpg123-decoder.*pass a WAV or raw L16/)
  }
})
