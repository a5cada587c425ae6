import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { buildWavHeader, inspectWav, WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { build, LISTEN, missing, pcm, streamOf, temporaryDirectory, until } from '../helpers/recordings.js'

const require = createRequire(import.meta.url)
const SECOND = 8000

interface Read {
  channels: number
  sampleRate: number
  /** all samples, or only their number in each channel if the reader returns no samples */
  samples: Buffer | number
}

/** Common readers of WAV files, some of them very simple, by name. */
const READERS: Record<string, (path: string) => Promise<Read>> = {
  async 'wav'(path) {
    const { Reader } = require('wav') as { Reader: new () => Writable & NodeJS.ReadableStream }
    const reader = createReadStream(path).pipe(new Reader())
    const pieces: Buffer[] = []
    reader.on('data', (piece: Buffer) => pieces.push(piece))
    const [[format]] = await Promise.all([once(reader, 'format'), once(reader, 'end')])
    return { ...(format as Read), samples: Buffer.concat(pieces) }
  },
  async 'wav-file-info'(path) {
    const { infoByFilename } = require('wav-file-info') as {
      infoByFilename: (
        path: string,
        done: (error: unknown, info: { header: { num_channels: number; sample_rate: number } }) => void
      ) => void
    }
    return await new Promise((resolve, reject) => {
      infoByFilename(path, (error, info) => {
        if (error) reject(new Error(JSON.stringify(error)))
        else {
          const { num_channels: channels, sample_rate: sampleRate } = info.header
          resolve({ channels, sampleRate, samples: -1 })
        }
      })
    })
  },
  async 'wavefile'(path) {
    const { WaveFile } = require('wavefile') as {
      WaveFile: new (file: Buffer) => {
        fmt: { numChannels: number; sampleRate: number }
        data: { samples: Uint8Array }
      }
    }
    const { fmt, data } = new WaveFile(await readFile(path))
    return { channels: fmt.numChannels, sampleRate: fmt.sampleRate, samples: Buffer.from(data.samples) }
  },
  async 'node-wav'(path) {
    const { decode } = require('node-wav') as {
      decode: (file: Buffer) => { sampleRate: number; channelData: Float32Array[] }
    }
    const { sampleRate, channelData } = decode(await readFile(path))
    return { sampleRate, channels: channelData.length, samples: channelData[0]?.length ?? 0 }
  }
}
const PYTHON = `
import sys, wave
w = wave.open(sys.argv[1])
sys.stdout.buffer.write(("%d %d\\n" % (w.getnchannels(), w.getframerate())).encode() + w.readframes(w.getnframes()))
`
if (!missing('python3')) {
  READERS["Python's wave"] = async (path) => {
    const { stdout, stderr } = spawnSync('python3', ['-S', '-c', PYTHON, path])
    const end = stdout.indexOf('\n')
    const [channels = 0, sampleRate = 0] = stdout.toString('latin1', 0, end).split(' ').map(Number)
    if (end < 0) throw new Error(stderr.toString())
    return { channels, sampleRate, samples: stdout.subarray(end + 1) }
  }
}
if (!missing('sox')) {
  READERS.sox = async (path) => {
    const [channels, sampleRate] = ['-c', '-r'].map((what) =>
      Number(spawnSync('soxi', [what, path], { encoding: 'utf8' }).stdout)
    )
    const samples = spawnSync('sox', [path, '-t', 's16', '-']).stdout
    return { channels: channels ?? 0, sampleRate: sampleRate ?? 0, samples }
  }
}
if (!missing('ffmpeg')) {
  // One run of ffmpeg gets both format and samples, because most of the time goes into its start.
  READERS.ffmpeg = async (path) => {
    const wav = spawnSync('ffmpeg', ['-v', 'error', '-i', path, '-bitexact', '-f', 'wav', '-']).stdout
    const [channels, sampleRate] = [wav.readUInt16LE(22), wav.readUInt32LE(24)]
    return { channels, sampleRate, samples: wav.subarray(wav.indexOf('data') + 8) }
  }
}
/**
 * Readers that need the length in the header. They can't read a streamed WAV, because its header has no
 * length.
 */
const NEED_LENGTH = ['wav-file-info', 'wavefile', 'node-wav']

async function check(
  t: Test,
  title: string,
  path: string,
  format: { sampleRate: number; channels: number },
  samples: Buffer,
  readers = Object.keys(READERS)
): Promise<void> {
  for (const name of readers) {
    const read = await READERS[name]?.(path)
    t.match(read, format, `${name}: ${title}`)
    if (typeof read?.samples === 'number') {
      const each = samples.length / 2 / format.channels
      t.ok(read.samples === -1 || read.samples === each, `${name}: every sample`)
    } else t.ok(read?.samples.equals(samples), `${name}: all samples, and only these`)
  }
}

t.test('simple readers can read every file: mono, stereo, live and recovered', async (t) => {
  const directory = await temporaryDirectory(t)
  for (const [channels, sampleRate] of [
    [1, 8000],
    [2, 8000],
    [1, 16_000],
    [2, 48_000]
  ] as const) {
    const format = { sampleRate, channels, mixType: channels === 2 ? ('stereo' as const) : ('mono' as const) }
    const expected = { sampleRate, channels }
    const samples = pcm(1, 0, SECOND)
    const name = `call${channels}x${sampleRate}`
    const { recordings } = await build(t, { directory, flushInterval: 50, fileName: () => name })
    const finished = recordings.start(streamOf(format))
    finished.write(samples, 0)
    await check(t, 'finished', (await finished.finish(LISTEN)).location, expected, samples)

    const live = recordings.start(streamOf({ ...format, id: 'live' }))
    live.write(samples, 0)
    const part = join(directory, `${name}-2.part.wav`)
    const written = async (): Promise<Buffer> => await readFile(part).catch(() => Buffer.alloc(0))
    await until(async () => {
      const file = await written()
      return (
        file.length === WAV_HEADER_BYTES + samples.length && inspectWav(file).dataBytes === samples.length
      )
    }, 'the header of the live file to be patched')
    const copy = join(directory, 'live.wav')
    await copyFile(part, copy)
    await check(t, 'live', copy, expected, samples)
    await recordings.close()

    // A killed process leaves a file like this one: its header says that there is no audio, and it ends with
    // half a sample.
    await writeFile(part, Buffer.concat([buildWavHeader(expected, 0), samples, Buffer.from([1])]))
    const next = await build(t, { directory })
    const recovered: string[] = []
    await next.recordings.recover((_, { location }) => {
      recovered.push(location)
    })
    t.equal(recovered.length, 1)
    await check(t, 'recovered', recovered[0] ?? '', expected, samples)
    await next.recordings.close()
  }
})

t.test('readers that need no length can read the WAV that a sink gets during the call', async (t) => {
  for (const channels of [1, 2]) {
    const pieces: Buffer[] = []
    const { recordings } = await build(t, {
      directory: undefined,
      sink: () =>
        new Writable({
          write(chunk: Buffer, _encoding, done) {
            pieces.push(chunk)
            done()
          }
        })
    })
    const samples = pcm(1, 0, SECOND)
    const recorder = recordings.start(streamOf({ channels, mixType: channels === 2 ? 'stereo' : 'mono' }))
    recorder.write(samples, 0)
    await recorder.finish(LISTEN)
    const path = join(await temporaryDirectory(t), 'streamed.wav')
    const file = Buffer.concat(pieces)
    await writeFile(path, file)
    t.equal(file.indexOf('JUNK'), -1, 'the header has no room for RF64, because it can not be changed later')
    const readers = Object.keys(READERS).filter((name) => !NEED_LENGTH.includes(name))
    await check(t, 'streamed', path, { sampleRate: 8000, channels }, samples, readers)
  }
})
