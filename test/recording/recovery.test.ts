import { link, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import type { Listen } from '../../lib/model/schema.js'
import type { FinishedRecording, Recordings } from '../../lib/recording/index.js'
import { buildWavHeader, inspectWav, WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { build, LISTEN, pcm, streamOf, temporaryDirectory, until } from '../helpers/recordings.js'

const DEAD = 'dead-0123456789ab'
const PART = {
  ...LISTEN,
  recorder: {
    id: 'file',
    sampleRate: 8000,
    channels: 1,
    mixType: 'mono',
    segment: 1,
    startedAt: '2026-02-04T00:00:01.000Z',
    pauses: [{ atMs: 10, durationMs: 5, mode: 'skip', startedAt: '2026-02-04T00:00:02.000Z' }],
    gaps: []
  }
}
const AUDIO = pcm(1, 0, 800)

type Recovered = Array<{ listen: Listen; recording: FinishedRecording }>

async function recover(recordings: Recordings): Promise<Recovered> {
  const recovered: Recovered = []
  await recordings.recover((listen, recording) => {
    recovered.push({ listen, recording })
  })
  return recovered
}

/** What a process leaves that was killed while it recorded. */
async function leave(
  directory: string,
  files: { part?: Buffer; final?: Buffer; sidecar?: object; json?: string },
  name = 'call',
  owner = DEAD
): Promise<void> {
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, `${name}.part.json.${owner}`), files.json ?? JSON.stringify(PART))
  if (files.part) await writeFile(join(directory, `${name}.part.wav`), files.part)
  if (files.final) await writeFile(join(directory, `${name}.wav`), files.final)
  if (files.sidecar) await writeFile(join(directory, `${name}.json`), JSON.stringify(files.sidecar))
}

const wav = (claimed: number, audio: Buffer): Buffer =>
  Buffer.concat([buildWavHeader(LISTEN, claimed), audio])

t.test('what a dead process left is completed from any state in which it can have died', async (t) => {
  const states: Array<[string, Parameters<typeof leave>[1], number | undefined]> = [
    ['in the middle of a sample', { part: wav(0, AUDIO.subarray(0, 1201)) }, 1200],
    ['after its last flush', { part: wav(320, AUDIO) }, 1600],
    ['in its header', { part: wav(0, AUDIO).subarray(0, 33) }, 0],
    ['before its header', { part: Buffer.alloc(0) }, 0],
    ['before there was a file', {}, undefined],
    ['while it described the file', { json: '{"id": "', part: Buffer.alloc(0) }, undefined],
    ['after it had given the final name', { part: wav(1600, AUDIO), final: wav(1600, AUDIO) }, 1600],
    ['before it wrote the sidecar', { final: wav(1600, AUDIO) }, 1600]
  ]
  for (const [title, files, dataBytes] of states) {
    const { recordings, directory } = await build(t)
    await leave(join(directory, 'a'), files)
    if (files.part && files.final) {
      await rm(join(directory, 'a/call.part.wav'))
      await link(join(directory, 'a/call.wav'), join(directory, 'a/call.part.wav'))
    }
    const recovered = await recover(recordings)
    if (dataBytes === undefined) {
      t.same(recovered, [], title)
      t.same(await readdir(join(directory, 'a')), [], 'nothing is left')
      continue
    }
    const location = join(directory, 'a/call.wav')
    t.match(
      recovered,
      [
        {
          listen: { id: LISTEN.id, callSid: LISTEN.callSid },
          recording: {
            recovered: true,
            state: 'saved',
            location,
            bytes: WAV_HEADER_BYTES + dataBytes,
            pauses: [{ mode: 'skip' }],
            levels: [{}],
            sha256: /^[0-9a-f]{64}$/
          }
        }
      ],
      title
    )
    const file = await readFile(location)
    t.equal(inspectWav(file).dataBytes, dataBytes)
    t.ok(file.subarray(WAV_HEADER_BYTES).equals(AUDIO.subarray(0, dataBytes)))
    t.same((await readdir(join(directory, 'a'))).sort(), ['call.json', 'call.wav'])
    t.match(JSON.parse(await readFile(join(directory, 'a/call.json'), 'utf8')), {
      id: LISTEN.id,
      recording: { recovered: true }
    })
  }
})

t.test('a process that died when all was written has its recording reported, not repaired', async (t) => {
  const { recordings, directory } = await build(t)
  const recording = { id: 'file', state: 'saved', location: join(directory, 'call.wav') }
  await leave(directory, { final: wav(1600, AUDIO), sidecar: { ...LISTEN, recording } })
  t.match(await recover(recordings), [{ recording: { location: recording.location } }])
  t.same((await readdir(directory)).sort(), ['.instances', 'call.json', 'call.wav'])
})

t.test('live files of another instance in the same directory are left alone', async (t) => {
  const directory = await temporaryDirectory(t)
  const one = await build(t, { directory, flushInterval: 50 })
  const two = await build(t, { directory })
  const recorder = one.recordings.start(streamOf())
  recorder.write(AUDIO, 0)
  await until(
    async () => (await readdir(directory, { recursive: true })).some((file) => file.endsWith('.part.wav')),
    'the file'
  )
  t.same(await recover(two.recordings), [])
  recorder.write(AUDIO, 0)
  const recording = await recorder.finish(LISTEN)
  t.ok((await readFile(recording.location)).subarray(WAV_HEADER_BYTES).equals(Buffer.concat([AUDIO, AUDIO])))
  t.notOk(recording.recovered)
})

/** A heartbeat of an instance of another machine, as `beats` of it stand in its file. */
async function beat(directory: string, token: string, beats: number): Promise<string> {
  const path = join(directory, '.instances', token)
  await mkdir(dirname(path), { recursive: true })
  const self = { pid: process.pid, machine: 'another', hostname: 'elsewhere' }
  await writeFile(path, `${String(beats).padStart(12, '0')}\n${JSON.stringify(self)}\n`)
  return path
}

t.test(
  'an instance of another machine is dead when its heartbeat stands still, whatever any clock says',
  async (t) => {
    const { recordings, directory, logger } = await build(t, {}, 50)
    for (const owner of [DEAD, 'alive-0123456789ab']) {
      await leave(join(directory, owner), { part: wav(0, AUDIO) }, 'call', owner)
    }
    const dead = await beat(directory, DEAD, 1)
    // hours ahead, and years behind
    await utimes(dead, new Date(Date.now() + 3600_000), new Date(Date.now() + 3600_000))
    let beats = 0
    const alive = async (): Promise<void> => {
      const path = await beat(directory, 'alive-0123456789ab', ++beats)
      const at = new Date(Date.now() - beats * 1e9)
      await utimes(path, at, at)
    }
    await alive()
    const recovered = await recover(recordings)
    t.same(recovered, [], 'it may be alive')
    await until(async () => {
      await alive()
      return recovered.length > 0
    }, 'the dead to be found out')
    t.match(recovered, [{ recording: { bytes: WAV_HEADER_BYTES + AUDIO.length } }])
    await until(async () => !(await readdir(dirname(dead))).includes(DEAD), 'the dead to be forgotten')
    t.match(logger.lines.at(-1), { level: 'warn', text: /was repaired/ })
    const enough = beats + 50
    await until(async () => {
      await alive()
      return beats > enough
    }, 'the living to go on')
    t.equal(recovered.length, 1, 'the living keeps its file')
    t.same(await readFile(join(directory, 'alive-0123456789ab/call.part.wav')), wav(0, AUDIO))
  }
)

t.test('a pid that was given to another process does not keep the dead alive', async (t) => {
  const { recordings, directory } = await build(t)
  const probe = recordings.start(streamOf({ id: 'probe' }))
  await probe.finish(LISTEN)
  const [own = ''] = await readdir(join(directory, '.instances'))
  const [, text = ''] = (await readFile(join(directory, '.instances', own), 'utf8')).split('\n')
  const self = JSON.parse(text) as Record<string, unknown>
  await leave(directory, { part: wav(0, AUDIO) })
  await writeFile(
    join(directory, '.instances', DEAD),
    `000000000001\n${JSON.stringify({ ...self, processStart: '1' })}\n`
  )
  t.equal((await recover(recordings)).length, self.machine === undefined ? 0 : 1)
})

t.test('two instances that start at once repair each file once', async (t) => {
  const directory = await temporaryDirectory(t)
  for (let at = 0; at < 20; at++) {
    await leave(join(directory, String(at % 3)), { part: wav(0, AUDIO) }, `call-${at}`)
  }
  const instances = await Promise.all([1, 2, 3].map(() => build(t, { directory })))
  const recovered = (await Promise.all(instances.map(({ recordings }) => recover(recordings)))).flat()
  t.equal(recovered.length, 20)
  t.equal(new Set(recovered.map(({ recording }) => recording.location)).size, 20)
})

t.test(
  'a repair that fails is tried again by the next start, and does not keep the others waiting',
  async (t) => {
    const directory = await temporaryDirectory(t)
    await leave(directory, { part: Buffer.alloc(4096) }, 'locked')
    await rename(join(directory, 'locked.part.wav'), join(directory, 'locked.part.wav.enc'))
    await leave(directory, { part: wav(0, AUDIO) }, 'open')
    const first = await build(t, { directory })
    t.match(await recover(first.recordings), [{ recording: { location: join(directory, 'open.wav') } }])
    t.match(
      first.logger.lines.filter(({ level }) => level === 'error'),
      [{ text: /locked could not be repaired/, fields: { err: { code: 'FST_JAMBONZ_RECORDING_KEY' } } }]
    )
    await first.recordings.close()
    t.ok(
      (await readdir(directory)).some((file) => file.startsWith('locked.part.json')),
      'it is still there'
    )
  }
)

t.test('an unfinished file that nothing describes is left as it is', async (t) => {
  const { recordings, directory, logger } = await build(t)
  await writeFile(join(directory, 'stray.part.wav'), wav(0, AUDIO))
  t.same(await recover(recordings), [])
  t.match(logger.lines, [{ level: 'warn', text: /nothing tells/ }])
  t.equal((await stat(join(directory, 'stray.part.wav'))).size, WAV_HEADER_BYTES + AUDIO.length)
})

t.test('without a directory there is nothing to recover', async (t) => {
  const { recordings } = await build(t, { directory: join(await temporaryDirectory(t), 'not/yet') })
  t.same(await recover(recordings), [])
})
