import { spawnSync } from 'node:child_process'
import {
  chmod,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Writable } from 'node:stream'
import t from 'tap'
import type { Listen } from '../../lib/model/schema.js'
import type { FinishedRecording } from '../../lib/model/recording.js'
import type { Recordings } from '../../lib/recording/Recordings.js'
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

/** Writes the files that a recording process leaves if it is killed. */
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

t.test('the recording of a dead process is completed, whichever step it died in', async (t) => {
  const states: Array<[string, Parameters<typeof leave>[1], number | undefined]> = [
    ['in the middle of a sample', { part: wav(0, AUDIO.subarray(0, 1201)) }, 1200],
    ['after its last flush', { part: wav(320, AUDIO) }, 1600],
    ['in the middle of the header', { part: wav(0, AUDIO).subarray(0, 33) }, 0],
    ['before it wrote the header', { part: Buffer.alloc(0) }, 0],
    ['before it created the WAV', {}, undefined],
    ['while it wrote the sidecar', { json: '{"id": "', part: Buffer.alloc(0) }, undefined],
    [
      'after it created the link with the final name',
      { part: wav(1600, AUDIO), final: wav(1600, AUDIO) },
      1600
    ],
    ['before it wrote the final sidecar', { final: wav(1600, AUDIO) }, 1600]
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
      t.same(await readdir(join(directory, 'a')), [], 'no files are left')
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

t.test('a recording that a dead process had completed is reported, and not repaired', async (t) => {
  const { recordings, directory } = await build(t)
  const recording = { id: 'file', state: 'saved', location: join(directory, 'call.wav') }
  await leave(directory, { final: wav(1600, AUDIO), sidecar: { ...LISTEN, recording } })
  t.match(await recover(recordings), [{ recording: { location: recording.location } }])
  t.same((await readdir(directory)).sort(), ['.instances', 'call.json', 'call.wav'])
})

t.test('a start does not change the live files of another instance in the same directory', async (t) => {
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

/**
 * Writes the instance file of an instance on another machine, as it is after `beats` heartbeats. Resolves to
 * its path.
 */
async function beat(directory: string, token: string, beats: number): Promise<string> {
  const path = join(directory, '.instances', token)
  await mkdir(dirname(path), { recursive: true })
  const self = { pid: process.pid, machine: 'another', hostname: 'elsewhere' }
  await writeFile(path, `${String(beats).padStart(12, '0')}\n${JSON.stringify(self)}\n`)
  return path
}

t.test(
  'an instance on another machine counts as dead if its heartbeat stops changing, whatever its clock says',
  async (t) => {
    const { recordings, directory, logger } = await build(t, {}, 50)
    for (const owner of [DEAD, 'alive-0123456789ab']) {
      await leave(join(directory, owner), { part: wav(0, AUDIO) }, 'call', owner)
    }
    const dead = await beat(directory, DEAD, 1)
    // Wrong file times must not matter. The dead instance's times are an hour ahead, and the live instance's
    // times are years behind.
    await utimes(dead, new Date(Date.now() + 3600_000), new Date(Date.now() + 3600_000))
    let beats = 0
    const alive = async (): Promise<void> => {
      const path = await beat(directory, 'alive-0123456789ab', ++beats)
      const at = new Date(Date.now() - beats * 1e9)
      await utimes(path, at, at)
    }
    await alive()
    const recovered = await recover(recordings)
    t.same(recovered, [], 'nothing is repaired while the instance may be alive')
    await until(async () => {
      await alive()
      return recovered.length > 0
    }, 'the dead instance to be detected')
    t.match(recovered, [{ recording: { bytes: WAV_HEADER_BYTES + AUDIO.length } }])
    await until(
      async () => !(await readdir(dirname(dead))).includes(DEAD),
      'the file of the dead instance to be removed'
    )
    t.match(logger.lines.at(-1), { level: 'warn', text: /was repaired/ })
    const enough = beats + 50
    await until(async () => {
      await alive()
      return beats > enough
    }, 'the live instance to write more heartbeats')
    t.equal(recovered.length, 1, 'the live instance keeps its file')
    t.same(await readFile(join(directory, 'alive-0123456789ab/call.part.wav')), wav(0, AUDIO))
  }
)

t.test('an instance counts as dead if another process now has its pid', async (t) => {
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

t.test('two instances that start at the same time repair each file once', async (t) => {
  const directory = await temporaryDirectory(t)
  for (let at = 0; at < 20; at++) {
    await leave(join(directory, String(at % 3)), { part: wav(0, AUDIO) }, `call-${at}`)
  }
  const instances = await Promise.all([1, 2, 3].map(() => build(t, { directory })))
  const recovered = (await Promise.all(instances.map(({ recordings }) => recover(recordings)))).flat()
  t.equal(recovered.length, 20)
  t.equal(new Set(recovered.map(({ recording }) => recording.location)).size, 20)
})

t.test('a failed repair is repeated at the next start, and does not prevent other repairs', async (t) => {
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
    'the file is still there'
  )
})

t.test('an unfinished file without a sidecar is not changed', async (t) => {
  const { recordings, directory, logger } = await build(t)
  await writeFile(join(directory, 'stray.part.wav'), wav(0, AUDIO))
  t.same(await recover(recordings), [])
  t.match(logger.lines, [{ level: 'warn', text: /has no sidecar/ }])
  t.equal((await stat(join(directory, 'stray.part.wav'))).size, WAV_HEADER_BYTES + AUDIO.length)
})

t.test('recovery does nothing without a directory', async (t) => {
  const { recordings } = await build(t, { directory: join(await temporaryDirectory(t), 'not/yet') })
  t.same(await recover(recordings), [])
})

t.test(
  'if a file of an unfinished recording is a link, recovery logs the link and does not follow it',
  async (t) => {
    const outside = await temporaryDirectory(t)
    const victim = join(outside, 'victim')
    const text = "somebody else's, and longer than a header: ".repeat(10)
    const links: Record<string, (directory: string) => Promise<void>> = {
      'the audio is a link': async (directory) => {
        await leave(directory, {})
        await symlink(victim, join(directory, 'call.part.wav'))
      },
      'the audio is a link to a missing file': async (directory) => {
        await leave(directory, {})
        await symlink(join(outside, 'nothing'), join(directory, 'call.part.wav'))
      },
      'the sidecar is a link': async (directory) => {
        await writeFile(victim, JSON.stringify(PART))
        await mkdir(directory)
        await symlink(victim, join(directory, `call.part.json.${DEAD}`))
        await writeFile(join(directory, 'call.part.wav'), wav(0, AUDIO))
      },
      'the audio is a pipe': async (directory) => {
        await leave(directory, {})
        t.equal(spawnSync('mkfifo', [join(directory, 'call.part.wav')]).status, 0)
      },
      'the sidecar is a pipe': async (directory) => {
        await mkdir(directory)
        t.equal(spawnSync('mkfifo', [join(directory, `call.part.json.${DEAD}`)]).status, 0)
      }
    }
    for (const [title, make] of Object.entries(links)) {
      const { recordings, directory, logger } = await build(t, {
        directory: join(await temporaryDirectory(t), 'recordings')
      })
      await writeFile(victim, text)
      await make(join(directory, 'a'))
      const [before, names] = [await readFile(victim, 'utf8'), await readdir(join(directory, 'a'))]
      t.same(await recover(recordings), [], title)
      t.equal(await readFile(victim, 'utf8'), before)
      t.same(await readdir(join(directory, 'a')), names, 'the directory is unchanged')
      t.same((await readdir(outside)).sort(), ['victim'])
      t.match(logger.lines, [{ level: 'warn', text: /is a link or no regular file/ }])
    }
  }
)

t.test(
  'recovery follows no link in place of a finished recording, a directory or an instance file',
  async (t) => {
    const outside = await temporaryDirectory(t)
    const { recordings, directory } = await build(t)
    await leave(directory, { part: wav(0, AUDIO) })
    await symlink(join(outside, 'audio'), join(directory, 'call.wav'))
    await leave(join(outside, 'elsewhere'), { part: wav(0, AUDIO) })
    await symlink(join(outside, 'elsewhere'), join(directory, 'linked'))
    t.equal(spawnSync('mkfifo', [join(directory, '.instances', 'pipe-0123456789ab')]).status, 0)
    t.match(await recover(recordings), [{ recording: { location: join(directory, 'call-2.wav') } }])
    t.same(await readdir(outside), ['elsewhere'])
    t.same(
      (await readdir(join(outside, 'elsewhere'))).length,
      2,
      'files outside of the directory are not repaired'
    )
  }
)

t.test('no sidecar makes the plugin send a file that is not its recording', async (t) => {
  const outside = join(await temporaryDirectory(t), 'secret')
  await writeFile(outside, 'secret')
  const sent: string[] = []
  const { recordings, directory } = await build(t, {
    sink: () =>
      new Writable({
        write(chunk: Buffer, _encoding, done) {
          sent.push(chunk.toString('latin1'))
          done()
        }
      })
  })
  const whole = wav(AUDIO.length, AUDIO)
  const recording = {
    id: 'file',
    state: 'spooled',
    location: outside,
    format: 'wav',
    bytes: whole.length,
    durationMs: 100,
    sampleRate: 8000,
    channels: 1,
    startedAt: PART.recorder.startedAt,
    endedAt: PART.recorder.startedAt,
    gaps: [],
    pauses: []
  }
  await leave(directory, { final: whole, sidecar: { ...LISTEN, recording } })
  const recovered = await recover(recordings)
  await until(() => recovered.length, 'the recording to be sent')
  t.equal(sent.join(''), whole.toString('latin1'))
  t.match(recovered, [{ recording: { state: 'saved', location: 'call.wav' } }])
  t.equal(await readFile(outside, 'utf8'), 'secret')
})

t.test('invalid fields of a sidecar are ignored and logged, and no audio is lost', async (t) => {
  const recorder = (fields: object): object => ({ ...PART, recorder: { ...PART.recorder, ...fields } })
  const broken: Array<[string, object, string[]]> = [
    ['no channels', recorder({ channels: 0 }), ['channels', 'sampleRate']],
    ['channels with an invalid value', recorder({ channels: 'two' }), ['channels', 'sampleRate']],
    ['a number of channels that differs from that of the audio', recorder({ channels: 2 }), ['channels']],
    ['a sample rate of 0', recorder({ sampleRate: 0 }), ['channels', 'sampleRate']],
    ['a sample rate with an invalid value', recorder({ sampleRate: null }), ['channels', 'sampleRate']],
    ['a sample rate that differs from that of the audio', recorder({ sampleRate: 16_000 }), ['sampleRate']],
    ['a negative segment', recorder({ segment: -1 }), ['segment']],
    ['a huge segment', recorder({ segment: 1e300 }), ['segment']],
    ['no id', recorder({ id: 7 }), ['id']],
    ['a start with an invalid value', recorder({ startedAt: 'yesterday' }), ['startedAt']],
    ['pauses with an invalid value', recorder({ pauses: 'many' }), ['pauses']],
    ['gaps with an invalid value', recorder({ gaps: [{ atMs: -1 }] }), ['gaps']],
    ['an unknown mix', recorder({ mixType: 'quad' }), ['mixType']],
    ['a sidecar that contains only the listen', { ...LISTEN }, []],
    ['recorder with an invalid value', { ...PART, recorder: 3 }, []],
    ['a call with an invalid value', recorder({ call: { callSid: 7 } }), []],
    ['segments with an invalid value', { ...PART, segments: 3 }, ['listen.segments']],
    [
      'a recording with an invalid value',
      { ...PART, recording: { id: 'x', endedAt: 'y', segments: 7 } },
      ['listen.recording']
    ],
    [
      'dates with an invalid value',
      { ...PART, createdAt: 'never', startedAt: {} },
      ['listen.createdAt', 'listen.startedAt']
    ],
    ['counts with an invalid value', { ...PART, audio: null }, ['listen.audio']]
  ]
  for (const [title, json, fields] of broken) {
    const { recordings, directory, logger } = await build(t)
    await leave(directory, { part: wav(0, AUDIO), json: JSON.stringify(json) })
    t.match(
      await recover(recordings),
      [
        {
          listen: { id: LISTEN.id },
          recording: { sampleRate: 8000, channels: 1, durationMs: 100, state: 'saved' }
        }
      ],
      title
    )
    const file = await readFile(join(directory, 'call.wav'))
    t.ok(file.equals(wav(AUDIO.length, AUDIO)), 'every sample is there')
    t.match(JSON.parse(await readFile(join(directory, 'call.json'), 'utf8')), {
      id: LISTEN.id,
      recording: { bytes: file.length }
    })
    const told = logger.lines.find(({ text }) => text.includes('were ignored'))
    if (title !== 'a call with an invalid value') t.match(told, { level: 'warn' }, title)
    if (fields.length > 0) t.same([...(told?.fields.fields as string[])].sort(), fields, title)
  }
})

t.test('if a sidecar names no listen, its audio is not changed', async (t) => {
  for (const json of ['{"id": 7}', 'null', '[]', '"text"', '{', '', '{"id":"a"}']) {
    const { recordings, directory, logger } = await build(t)
    await leave(directory, { part: wav(0, AUDIO), json })
    t.same(await recover(recordings), [])
    t.ok((await readFile(join(directory, 'call.part.wav'))).equals(wav(0, AUDIO)), json)
    t.match(logger.lines, [{ level: 'error', fields: { err: { message: /names no call and listen/ } } }])
  }
})

t.test(
  'directories that the process may not use prevent no repair, and no deletion of old recordings, elsewhere',
  { skip: process.platform === 'win32' && 'Windows has no modes of directories' },
  async (t) => {
    const directory = await temporaryDirectory(t)
    const { recordings } = await build(t, { directory, fileName: ({ listen }) => `${listen.id}/call` })
    for (const id of ['locked', 'old']) {
      const recorder = recordings.start(streamOf({ id }))
      recorder.write(AUDIO, 0)
      await recorder.finish({ ...LISTEN, id })
      const longAgo = new Date('2025-06-01')
      for (const name of ['call.wav', 'call.json']) await utimes(join(directory, id, name), longAgo, longAgo)
    }
    await recordings.close()
    await leave(join(directory, 'unfinished'), { part: wav(0, AUDIO) })
    const closed = ['closed', 'lost+found'].map((name) => join(directory, name))
    for (const path of closed) await mkdir(path)
    if (process.getuid?.() === 0) spawnSync('chown', ['-R', '65534', directory])
    for (const path of closed) await chmod(path, 0)
    await chmod(join(directory, 'locked'), 0o555)
    t.teardown(() => Promise.all([...closed, join(directory, 'locked')].map((path) => chmod(path, 0o755))))

    const script = join(import.meta.dirname, '../helpers/strangerChild.js')
    const child = spawnSync(process.execPath, [script, directory], { encoding: 'utf8', env: {} })
    t.equal(child.status, 0, child.stderr)
    const { repaired, lines } = JSON.parse(child.stdout) as { repaired: string[]; lines: unknown[] }
    t.same(repaired, [join(directory, 'unfinished/call.wav')])
    t.same((await readdir(directory)).sort(), ['.instances', 'closed', 'locked', 'lost+found', 'unfinished'])
    t.same((await readdir(join(directory, 'locked'))).sort(), ['call.json', 'call.wav'])
    t.match(
      new Set(lines.map((line) => JSON.stringify(line))),
      new Set([
        /"warn".*a directory may not be read.*let the user of this process read/,
        /"warn".*was repaired/,
        /"info".*old recordings were deleted/,
        /"error".*some old recordings could not be deleted.*let the user of this process write/
      ])
    )
  }
)

t.test(
  'under the permission model of Node.js, a start repairs recordings, and refuses options that need more',
  async (t) => {
    const directory = await temporaryDirectory(t)
    await leave(directory, { part: wav(0, AUDIO) })
    const permission = process.allowedNodeEnvironmentFlags.has('--permission')
      ? '--permission'
      : '--experimental-permission'
    const script = join(import.meta.dirname, '../helpers/restrictedChild.js')
    const child = spawnSync(
      process.execPath,
      [permission, '--allow-fs-read=*', `--allow-fs-write=${join(directory, '*')}`, script, directory],
      { encoding: 'utf8', env: {} }
    )
    t.equal(child.status, 0, child.stderr)
    const { repaired, lines, errors } = JSON.parse(child.stdout) as Record<string, unknown[]>
    t.same(repaired, [join(directory, 'call.wav')])
    t.match(lines, [{ level: 'warn', text: /was repaired/ }])
    const fsync = {
      code: 'FST_JAMBONZ_OPTIONS',
      message: /recording\.fsync: the permission model of Node\.js/
    }
    const ffmpeg = {
      code: 'FST_JAMBONZ_RECORDING_FFMPEG',
      message: /"ffmpeg" can't be run \(Access to this API/
    }
    t.match(errors, [fsync, fsync, ffmpeg])
    t.same((await readdir(directory)).sort(), ['.instances', 'call.json', 'call.wav'])
    t.same(await readdir(join(directory, '.instances')), [])
  }
)
