import t, { type Test } from 'tap'
import type { PlayDone } from '../../lib/audio/socket/types.js'
import { decodeMulaw, encodeMulaw } from '../../lib/pcm/g711.js'
import { resample, Resampler, SoundResampler } from '../../lib/pcm/Resampler.js'
import { bytesOf, samplesOf } from '../../lib/pcm/samples.js'
import { otherKindOf } from '../../lib/pcm/fileKind.js'
import { readWav } from '../../lib/pcm/readWav.js'
import { playing, type FileCaller } from '../helpers/fileCaller.js'
import { streamPair, until } from '../helpers/streamPair.js'
import { DECODED, edgeSamples, ENCODED } from './mulawOfSox.js'

t.jobs = 10
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

/** Returns `ms` of audio at 8 kHz whose samples all have this value. */
const level = (ms: number, value: number) => bytesOf(new Int16Array(ms * 8).fill(value))
const heardMs = (caller: FileCaller, value: number) =>
  caller.heard.filter((sample) => sample === value).length / 8
const sine = (samples: number, hz: number, rate: number) =>
  Int16Array.from({ length: samples }, (_, i) => 10_000 * Math.sin((2 * Math.PI * hz * i) / rate))

interface WavFormat {
  rate: number
  channels?: number
  bits?: number
  code?: number
}

function wav(data: Buffer, { rate, channels = 1, bits = 16, code = 1 }: WavFormat): Buffer {
  const head = Buffer.alloc(44)
  head.write('RIFF', 0)
  head.writeUInt32LE(36 + data.length, 4)
  head.write('WAVEfmt ', 8)
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(code, 20)
  head.writeUInt16LE(channels, 22)
  head.writeUInt32LE(rate, 24)
  head.writeUInt32LE((rate * channels * bits) / 8, 28)
  head.writeUInt16LE((channels * bits) / 8, 32)
  head.writeUInt16LE(bits, 34)
  head.write('data', 36)
  head.writeUInt32LE(data.length, 40)
  return Buffer.concat([head, data])
}

/**
 * Returns the largest difference between the samples of two signals. It leaves out both ends, where the
 * filter settles.
 */
function difference(a: Int16Array, b: Int16Array): number {
  return Math.max(...a.slice(100, -100).map((sample, i) => Math.abs(sample - (b[i + 100] ?? 0))))
}

test('play() plays the whole file, then resolves', async (t) => {
  const { stream, caller } = await playing(t)
  const events: PlayDone[] = []
  stream.on('playDone', (done) => events.push(done))
  const done = await stream.play(level(100, 7), { id: 'greeting' })
  t.same(done, { id: 'greeting', heardMs: 100, playbackMs: 100, lastOffset: 800, event: 'playout' })
  t.same(events, [done])
  t.match(caller.received, [{ audioContentType: 'raw', sampleRate: 8000, id: 'greeting', queuePlay: false }])
  t.equal(heardMs(caller, 7), 100)
})

test("thirty queued files are played in order, and jambonz' queue is never too full", async (t) => {
  const { stream, caller } = await playing(t)
  const order: string[] = []
  stream.on('playDone', ({ id, event }) => order.push(`${id} ${event}`))
  await Promise.all(
    Array.from({ length: 30 }, (_, i) => stream.play(level(20, i + 1), { id: `${i}`, queue: true }))
  )
  t.same(
    order,
    Array.from({ length: 30 }, (_, i) => `${i} playout`)
  )
  t.ok(caller.longestQueue <= 11)
  t.same(
    [...new Set(caller.heard.filter((sample) => sample !== 0))],
    Array.from({ length: 30 }, (_, i) => i + 1)
  )
})

test('play() stops the file that is playing; the stopped file does not resume later', async (t) => {
  const { stream, caller } = await playing(t)
  const old = stream.play(level(2000, 1))
  const queued = stream.play(level(2000, 2), { queue: true })
  await until(() => heardMs(caller, 1) > 0)
  const next = stream.play(level(100, 3))
  t.match(await queued, { event: 'cleared' })
  t.match(await old, { event: 'cleared' })
  t.match(await next, { event: 'playout', playbackMs: 100 })
  t.ok(heardMs(caller, 1) < 1000)
  t.equal(heardMs(caller, 2), 0)
})

test('clear() stops the file that is playing and drops all queued files', async (t) => {
  const { stream, caller } = await playing(t)
  const all = [1, 2, 3, 4].map((value) => stream.play(level(1000, value), { queue: true }))
  await until(() => heardMs(caller, 1) > 0)
  stream.clear()
  t.same(
    (await Promise.all(all)).map(({ event }) => event),
    ['cleared', 'cleared', 'cleared', 'cleared']
  )
  t.ok(heardMs(caller, 2) < 200)
  t.equal(heardMs(caller, 2), 0, 'nothing of the queued file is heard')
  t.equal(heardMs(caller, 3), 0)
  t.match(await stream.play(level(40, 9)), { event: 'playout' })
})

test('clear() sends nothing if no file is playing', async (t) => {
  const { stream, caller } = await playing(t)
  stream.clear()
  await stream.play(level(20, 1))
  t.same(caller.commands, ['playAudio'])
})

test('play() returns its id unchanged, even if mod_audio_fork would cut the id, or if the id is in use', async (t) => {
  const { stream, caller } = await playing(t)
  const [first, second, third] = ['it\'s "me"', 'twice', 'twice'].map((id) =>
    stream.play(level(20, 1), { id, queue: true })
  )
  t.match(await first, { id: 'it\'s "me"' })
  t.match(await second, { id: 'twice' })
  t.match(await third, { id: 'twice' })
  t.equal(new Set(caller.received.map(({ id }) => id)).size, 3)
})

test('the end of the call settles the promises of all queued files', async (t) => {
  const { stream, socket } = await playing(t)
  const both = [stream.play(level(1000, 1)), stream.play(level(1000, 2), { queue: true })]
  socket.close(1000)
  t.match(await Promise.all(both), [{ event: 'cleared' }, { event: 'cleared' }])
  t.match(await stream.play(level(20, 1)), { event: 'cleared' })
})

test('a WAV of any rate, width and number of channels is converted to a format that jambonz plays', async (t) => {
  const { stream, caller } = await playing(t)
  const at44 = sine(44_100 / 5, 400, 44_100)
  const files = [
    wav(bytesOf(sine(1600, 400, 8000)), { rate: 8000 }),
    wav(bytesOf(at44), { rate: 44_100 }),
    wav(bytesOf(Int16Array.from({ length: at44.length * 2 }, (_, i) => at44[i >> 1] ?? 0)), {
      rate: 44_100,
      channels: 2
    }),
    wav(Buffer.from(Uint8Array.from(at44, (sample) => (sample >> 8) + 128)), { rate: 44_100, bits: 8 }),
    wav(Buffer.concat(Array.from(at44, (sample) => Buffer.from([0, sample & 255, sample >> 8]))), {
      rate: 44_100,
      bits: 24
    }),
    wav(Buffer.from(Float32Array.from(at44, (sample) => sample / 32_768).buffer), {
      rate: 44_100,
      bits: 32,
      code: 3
    }),
    wav(encodeMulaw(sine(1600, 400, 8000)), { rate: 8000, bits: 8, code: 7 })
  ]
  await Promise.all(files.map((file) => stream.play(file, { queue: true })))
  for (const { sampleRate, audioContent } of caller.received) {
    const samples = samplesOf(Buffer.from(audioContent, 'base64'))
    t.equal(samples.length, sampleRate / 5)
    t.ok(difference(samples, sine(samples.length, 400, sampleRate)) < 350)
  }
  t.same(
    caller.received.map(({ sampleRate }) => sampleRate),
    [8000, 16_000, 16_000, 16_000, 16_000, 16_000, 8000]
  )
})

test('raw audio is converted if FreeSWITCH would misread its sample rate', async (t) => {
  const { stream, caller } = await playing(t)
  await stream.play(bytesOf(sine(2400, 400, 24_000)), { sampleRate: 24_000 })
  t.match(caller.received, [{ sampleRate: 16_000 }])
})

test('play() refuses a file that can not be played, and its error gives the reason', async (t) => {
  const { stream } = await playing(t)
  const code = 'FST_JAMBONZ_AUDIO_FILE'
  await t.rejects(stream.play(Buffer.alloc(0)), { code, message: /no samples/ })
  await t.rejects(stream.play('greeting.wav' as never), { code, message: /it is a string; pass its bytes/ })
  await t.rejects(stream.play(wav(Buffer.alloc(10), { rate: 8000, code: 17, bits: 4 })), {
    code,
    message: /format 17 with 4 bits; convert it/
  })
  await t.rejects(stream.play(wav(Buffer.alloc(10), { rate: 100 })), { code, message: /100 Hz/ })
  await t.rejects(stream.play(wav(Buffer.alloc(10), { rate: 8000 }).subarray(0, 30)), { code })
  for (const [text, is] of [
    ['ID3\x04', 'MP3'],
    ['OggS', 'Ogg'],
    ['fLaC', 'FLAC'],
    ['\0\0\0\x20ftypM4A ', 'M4A'],
    ['FORM', 'AIFF'],
    ['.snd', 'AU'],
    ['<!DOCTYPE html><html>', 'HTML'],
    ['{"error":"quota"}', 'JSON'],
    ['UklGRiQAAABXQVZF', 'base64']
  ] as const) {
    const file = Buffer.concat([Buffer.from(text, 'latin1'), Buffer.alloc(1_000, 1)])
    await t.rejects(stream.play(file), { code, message: new RegExp(`it is .*${is}.*; pass a WAV`) })
  }
  await t.rejects(stream.play(Buffer.alloc(16_000_000)), { code, message: /queue: true/ })
})

test('play() refuses text of any kind and length, and its error names the kind of text', async (t) => {
  const { stream } = await playing(t)
  const bom = '\ufeff'
  const long = 'the quota of this month is used up '.repeat(30)
  for (const [text, is] of [
    [`\r\n  ${bom}<!doctype html>${long}`, 'an HTML page'],
    ['<HTML><body>502</body></HTML>', 'an HTML page'],
    [`<!-- proxy --><html lang="en">${long}`, 'an HTML page'],
    ['<?xml version="1.0"?><Error/>', 'XML'],
    [`\n<speak>${long}</speak>`, 'XML'],
    [`${bom} {\n  "error": "${long}" }`, 'JSON'],
    ['{}', 'JSON'],
    ['[{"error":1}]', 'JSON'],
    [`"${long}`, 'JSON'],
    ['"quota"', 'JSON'],
    [long, 'text'],
    ['Service Unavailable', 'text'],
    ['Übertragung läuft gerade nicht', 'text'],
    [Buffer.from(long).toString('base64'), 'base64 text'],
    [`${Buffer.from(long.slice(0, 54)).toString('base64')}\r\n`.repeat(9), 'base64 text'],
    [Buffer.from(long).toString('base64url'), 'base64 text'],
    ['data:audio/wav;base64,UklGRiQAAABXQVZF', 'a data url']
  ] as const) {
    const name = JSON.stringify(text.slice(0, 20))
    await t.rejects(
      stream.play(Buffer.from(text)),
      { code: 'FST_JAMBONZ_AUDIO_FILE', message: `it is ${is}; ` },
      name
    )
    t.match(otherKindOf(Buffer.from(text))?.is, is, name)
  }
  t.match(otherKindOf(Buffer.from(`\ufeff<html>${long}`, 'utf16le'))?.is, 'an HTML page')
})

/** Returns so many MP3 frames of 128 kbit/s, 44.1 kHz, stereo. */
const mp3 = (frames: number) =>
  Buffer.concat(
    Array.from({ length: frames }, () =>
      Buffer.concat([Buffer.from([0xff, 0xfb, 0x90, 0x64]), Buffer.alloc(413, 0x55)])
    )
  )

test('play() refuses other containers and codecs, and the error names them', async (t) => {
  const { stream } = await playing(t)
  const adts = Buffer.concat([Buffer.from([0xff, 0xf1, 0x50, 0x80, 0x02, 0x1f, 0xfc]), Buffer.alloc(9, 0x21)])
  const filler = Buffer.alloc(600, 3)
  for (const [bytes, is] of [
    [Buffer.concat([adts, adts, adts, adts]), 'AAC'],
    [Buffer.concat([Buffer.from('#!AMR-WB\n'), filler]), 'AMR'],
    [Buffer.concat([Buffer.from('1a45dfa3', 'hex'), filler]), 'WebM'],
    [Buffer.concat([Buffer.from('RIFX\x24\0\0\0WAVE'), filler]), 'big-endian'],
    [Buffer.concat([Buffer.from('RIFF\x24\0\0\0AVI LIST'), filler]), 'RIFF, but no WAVE'],
    [wav(filler, { rate: 8000, code: 85 }), 'MP3, format 85']
  ] as const) {
    const message = new RegExp(`(it is|is of) .*${is}`)
    await t.rejects(stream.play(bytes), { code: 'FST_JAMBONZ_AUDIO_FILE', message }, is)
  }
})

test('raw samples are not mistaken for a file format, whatever their first bytes', async (t) => {
  const random = (length: number, seed: number) => {
    let state = seed
    return Buffer.from({
      length,
      *[Symbol.iterator]() {
        for (let i = 0; i < length; i++) {
          yield (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) >> 16
        }
      }
    } as unknown as number[])
  }
  const header = Buffer.from([0xff, 0xfb, 0x90, 0x64])
  const samples = [
    ...Array.from({ length: 3_000 }, (_, i) => random(700, i + 1)),
    ...Array.from({ length: 3_000 }, (_, i) => Buffer.concat([header, random(2_000, i + 1)])),
    ...Array.from({ length: 256 }, (_, byte) => Buffer.alloc(1_000, byte)),
    ...Array.from({ length: 256 }, (_, byte) => bytesOf(new Int16Array(500).fill((byte << 8) | 0x41))),
    ...Array.from({ length: 40 }, (_, i) => bytesOf(sine(800, 50 + i * 80, 8000))),
    Buffer.concat([mp3(3), random(2_000, 7)]),
    // Two alternating samples. Every second sample looks like an MP3 header.
    Buffer.alloc(4_000, Buffer.from([0xff, 0xfb, 0x94, 0x64])),
    Buffer.concat([Buffer.from('{"'), random(800, 3)]),
    Buffer.from('A!')
  ]
  t.same(
    samples.filter((pcm) => otherKindOf(pcm) !== undefined).map((pcm) => pcm.toString('hex', 0, 40)),
    []
  )
})

test('if play() fails and its promise is not awaited, the error is logged; stream and process continue', async (t) => {
  const { stream, log, caller } = await playing(t)
  stream.play(Buffer.alloc(0))
  await until(() => log.length > 0)
  t.match(log, [{ level: 40, msg: 'play() failed', err: { code: 'FST_JAMBONZ_AUDIO_FILE' } }])
  await stream.play(level(20, 1))
  t.equal(caller.received.length, 1)
})

test('play() on a listen with streaming rejects with an error that names the property to change', async (t) => {
  const { stream, start } = await streamPair(t, {
    listen: { bidirectional: { mode: 'streaming', sampleRate: 8000 } }
  })
  start()
  await until(() => stream.metadata !== undefined)
  await t.rejects(stream.play(level(20, 1)), {
    code: 'FST_JAMBONZ_AUDIO_MODE',
    message: /bidirectionalAudio: \{ enabled: true \} without streaming, or write\(\)/
  })
})

test('RF64, 64-bit float, A-law and extensible formats are read', async (t) => {
  const at8 = sine(1600, 400, 8000)
  const plain = wav(bytesOf(at8), { rate: 8000 })
  const size = Buffer.alloc(36)
  size.write('ds64')
  size.writeUInt32LE(28, 4)
  size.writeBigUInt64LE(3200n, 16)
  const long = Buffer.concat([
    Buffer.from('RF64\xff\xff\xff\xffWAVE', 'latin1'),
    size,
    plain.subarray(12),
    Buffer.from('LIST')
  ])
  long.writeUInt32LE(0xffff_ffff, 76)
  t.same(readWav(long), { samples: at8, sampleRate: 8000 })
  long.write('BW64')
  t.same(readWav(long).samples, at8)
  const float = Buffer.from(Float64Array.from(at8, (sample) => sample / 32_768).buffer)
  t.same(readWav(wav(float, { rate: 8000, bits: 64, code: 3 })).samples, at8)
  const extensible = Buffer.concat([plain.subarray(0, 36), Buffer.alloc(24), plain.subarray(36)])
  extensible.writeUInt32LE(40, 16)
  extensible.writeUInt16LE(0xfffe, 20)
  extensible.writeUInt16LE(22, 36)
  extensible.writeUInt16LE(1, 44)
  t.same(readWav(extensible).samples, at8)
  // the first and last codes of some segments (ITU-T G.711, table 1a)
  const codes = Uint8Array.from([0xd5, 0x55, 0xaa, 0x2a, 0x80, 0xc5, 0xf5])
  t.same(
    [...readWav(wav(Buffer.from(codes), { rate: 8000, bits: 8, code: 6 })).samples],
    [8, -8, 32_256, -32_256, 5_504, 264, 528]
  )
})

test('a streamed WAV whose header has no valid sizes is read to its end', async (t) => {
  const file = wav(bytesOf(sine(800, 400, 8000)), { rate: 8000 })
  for (const size of [0, 0xffff_ffff]) {
    file.writeUInt32LE(size, 40)
    t.equal(readWav(file).samples.length, 800)
  }
})

test('resampling keeps level, length and silence, for audio in one piece and in several', async (t) => {
  for (const [from, to] of [
    [8000, 16_000],
    [16_000, 8000],
    [24_000, 8000],
    [8000, 24_000],
    [44_100, 16_000],
    [48_000, 8000]
  ] as const) {
    const whole = resample(sine(from / 5, 1000, from), from, to)
    t.equal(whole.length, to / 5)
    t.ok(difference(whole, sine(to / 5, 1000, to)) < 100, `${from} to ${to}`)
    const resampler = new Resampler(from, to)
    const input = sine(from / 5, 1000, from)
    const pieces = Array.from({ length: 20 }, (_, i) => [
      ...resampler.process(input.subarray((i * from) / 100, ((i + 1) * from) / 100))
    ]).flat()
    t.same(pieces, [...new Resampler(from, to).process(input)])
    t.ok(resample(new Int16Array(1000), from, to).every((sample) => sample === 0))
  }
})

test('resampling in pieces gives the same samples as resampling at once', async (t) => {
  for (const [from, to] of [
    [44_100, 16_000],
    [8000, 16_000],
    [44_101, 16_000]
  ] as const) {
    for (const length of [1, 10, 40, 5_000]) {
      const input = sine(length, 1000, from)
      const whole = resample(input, from, to)
      for (const size of [1, 7, 4_096]) {
        const resampler = new SoundResampler(from, to)
        const pieces: number[] = []
        for (let at = 0; at < length; at += size) {
          pieces.push(...resampler.process(input.subarray(at, at + size)))
        }
        t.same([...pieces, ...resampler.end()], [...whole])
      }
    }
  }
})

test('resampling is accurate even between two rates without a large common divisor', async (t) => {
  const whole = resample(sine(44_101, 1000, 44_101), 44_101, 16_000)
  t.ok(difference(whole, sine(16_000, 1000, 16_000)) < 100)
})

test('resampling to a lower rate removes the frequencies above half that rate', async (t) => {
  const folded = resample(sine(16_000, 6000, 16_000), 16_000, 8000).slice(100, -100)
  t.ok(Math.max(...folded.map(Math.abs)) < 60, `${Math.max(...folded.map(Math.abs))}`)
})

test('mu-law is encoded as sox encodes it', async (t) => {
  t.ok(bytesOf(decodeMulaw(Uint8Array.from({ length: 256 }, (_, code) => code))).equals(DECODED))
  t.ok(encodeMulaw(edgeSamples()).equals(ENCODED))
})
