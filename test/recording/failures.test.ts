import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import t from 'tap'
import { BlockPool, SMALL_BLOCK, type Block } from '../../lib/recording/BlockWriter.js'
import type { RecordingError } from '../../lib/recording/types.js'
import { inspectWav, STREAM_HEADER_BYTES, WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { build, LISTEN, pcm, streamOf, temporaryDirectory, until } from '../helpers/recordings.js'

const KIB = 1024
const noise = (kib: number): Buffer => pcm(1, 0, (kib * KIB) / 2)

async function errorOf(finished: Promise<unknown>): Promise<RecordingError> {
  return await finished.then(
    () => {
      throw new Error('the recording did not fail')
    },
    (error: RecordingError) => error
  )
}

t.test(
  'if a disk is full, its recording fails at once, its audio is kept, and other recordings continue',
  { skip: process.getuid?.() !== 0 && 'mounting a small tmpfs needs root' },
  async (t) => {
    const small = await mkdtemp(join(tmpdir(), 'small-'))
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small])
    t.teardown(async () => {
      spawnSync('umount', [small])
      await rm(small, { recursive: true, force: true })
    })
    if (mounted.status !== 0) {
      t.pass('this process may not mount; the next test limits the file size instead')
      return
    }
    const full = await build(t, { directory: small, fileName: () => 'call' })
    const other = await build(t)
    const failed: Error[] = []
    const recorder = full.recordings.start(streamOf(), (error) => {
      failed.push(error)
    })
    const neighbour = other.recordings.start(streamOf())
    recorder.write(noise(64), 0)
    await until(async () => (await readdir(small)).includes('call.part.wav'), 'the file')
    recorder.write(noise(512), 0)
    neighbour.write(noise(512), 0)
    await until(() => failed.length === 1, 'the recording to fail, long before the call ends')
    t.equal(recorder.state, 'failed')
    recorder.write(noise(64), 0)
    t.match(failed[0], {
      code: 'FST_JAMBONZ_RECORDING_WRITE',
      message: /the disk is full\. Free some space.* \(ENOSPC\)/
    })
    t.match(full.logger.lines, [{ level: 'error', text: /the call goes on/ }])
    const error = await errorOf(recorder.finish(LISTEN))
    t.equal(error, failed[0])
    if (error.recording) {
      const file = await readFile(error.recording.location)
      t.equal(error.recording.state, 'partial')
      t.equal(inspectWav(file).dataBytes, file.length - WAV_HEADER_BYTES)
      t.ok(noise(64).equals(file.subarray(WAV_HEADER_BYTES, WAV_HEADER_BYTES + 64 * KIB)))
    }
    t.match(await neighbour.finish(LISTEN), { state: 'saved', bytes: 512 * KIB + WAV_HEADER_BYTES })
  }
)

t.test(
  'if a file reaches its size limit, the recording fails, its audio is kept, and the process continues',
  async (t) => {
    const script = join(import.meta.dirname, '../helpers/limitedChild.js')
    const directory = await temporaryDirectory(t)
    // `ulimit -f` takes KiB. Node ignores SIGXFSZ, so a write beyond the limit fails with EFBIG. The modules
    // that tap loads through NODE_OPTIONS would change that, so the child runs without these options.
    const child = spawnSync(
      'bash',
      ['-c', 'unset NODE_OPTIONS; ulimit -f 200; exec "$0" "$1" "$2"', process.execPath, script, directory],
      { encoding: 'utf8' }
    )
    t.equal(child.status, 0, `${child.signal} ${child.stderr}`)
    const { code, message, recording } = JSON.parse(child.stdout) as RecordingError & { message: string }
    t.equal(code, 'FST_JAMBONZ_RECORDING_WRITE')
    t.match(message, /the file may not grow any more\. Raise the file size limit \(EFBIG\)/)
    const file = await readFile(recording?.location ?? '')
    t.match(recording, { state: 'partial', bytes: file.length })
    t.ok(file.length > 150 * KIB && file.length <= 200 * KIB)
    t.ok(
      noise(200)
        .subarray(0, file.length - WAV_HEADER_BYTES)
        .equals(file.subarray(WAV_HEADER_BYTES))
    )
    t.match(JSON.parse(await readFile(recording?.location.replace(/wav$/, 'json') ?? '', 'utf8')), {
      id: LISTEN.id,
      recordingError: /EFBIG/,
      recording: { sha256: createHash('sha256').update(file).digest('hex') }
    })
  }
)

t.test(
  'if a recording fails, and its sidecar can not be written either, its error has the part that was saved',
  async (t) => {
    const { recordings, directory } = await build(t, { maxBuffered: 128 * KIB, fileName: () => 'call' })
    const recorder = recordings.start(streamOf())
    recorder.write(noise(64), 0)
    const part = join(directory, 'call.part.wav')
    const size = async (): Promise<number> => (await stat(part).catch(() => ({ size: 0 }))).size
    await until(async () => (await size()) > WAV_HEADER_BYTES, 'the audio in the file')
    await mkdir(join(directory, 'call.json'))
    for (let at = 0; at < 100; at++) recorder.write(noise(4), 0)
    const error = await errorOf(recorder.finish(LISTEN))
    t.equal(error.code, 'FST_JAMBONZ_RECORDING_STALLED')
    const location = join(directory, 'call.wav')
    t.match(error.recording, { state: 'partial', location, bytes: (await stat(location)).size })
    t.ok(noise(16).equals((await readFile(location)).subarray(WAV_HEADER_BYTES).subarray(0, 16 * KIB)))

    await recordings.close()
    await rm(join(directory, 'call.json'), { recursive: true })
    const next = await build(t, { directory })
    const recovered: string[] = []
    await next.recordings.recover((_listen, recording) => recovered.push(recording.location))
    t.same(recovered, [location], 'the next start writes the sidecar')
  }
)

t.test('if a directory is removed, its recording fails, and the call continues', async (t) => {
  const { recordings, directory } = await build(t, { flushInterval: 50, fsync: true })
  const failed: Error[] = []
  const recorder = recordings.start(streamOf(), (error) => {
    failed.push(error)
  })
  recorder.write(noise(1), 0)
  await until(
    async () => (await readdir(directory, { recursive: true })).some((name) => name.endsWith('.part.wav')),
    'the file'
  )
  await rm(directory, { recursive: true })
  await until(() => {
    recorder.write(pcm(1, 0, 160), 0)
    return failed.length
  }, 'the failure')
  t.match(failed, [{ code: 'FST_JAMBONZ_RECORDING_WRITE', message: /its directory is gone/ }])
  const error = await errorOf(recorder.finish(LISTEN))
  t.equal(error.recording, undefined, 'nothing could be saved')
  const next = recordings.start(streamOf())
  next.write(noise(1), 0)
  t.match(await next.finish(LISTEN), { state: 'saved' }, 'the next call creates the directory again')
})

t.test(
  "registration fails with the system's message if the directory can't be created or written",
  async (t) => {
    const parent = await temporaryDirectory(t)
    const file = join(parent, 'file')
    await writeFile(file, '')
    const wrong: Array<[string, RegExp]> = [
      [join(file, 'below'), /can't be written \(ENOTDIR: not a directory, mkdir .*file.*Choose another/],
      [file, /can't be written \((?:EEXIST|ENOTDIR)/],
      ['/proc/recordings', /can't be written \(ENOENT: no such file or directory, mkdir '\/proc\/recordings/],
      [join(parent, 'x'.repeat(300)), /can't be written \(ENAMETOOLONG/]
    ]
    for (const [directory, message] of wrong) {
      await t.rejects(build(t, { directory }), { code: 'FST_JAMBONZ_OPTIONS', message }, directory)
      await t.rejects(build(t, { directory }), { message: `recording.directory: "${directory}"` })
    }
    t.same(await readdir(parent), ['file'])
  }
)

t.test('registration fails if the process may not write to the directory', async (t) => {
  const parent = await temporaryDirectory(t)
  const readOnly = join(parent, 'recordings')
  await mkdir(readOnly)
  for (const directory of [readOnly, parent]) await chmod(directory, 0o555)
  // Root may write to every directory, so it becomes another user.
  const isRoot = process.getuid?.() === 0
  if (isRoot) process.seteuid?.(65_534)
  try {
    for (const directory of [readOnly, join(readOnly, 'below'), join(parent, 'new')]) {
      await t.rejects(build(t, { directory }), {
        code: 'FST_JAMBONZ_OPTIONS',
        message: /can't be written \(EACCES: permission denied, mkdir .*let the user of this process/
      })
    }
  } finally {
    if (isRoot) process.seteuid?.(0)
    for (const directory of [parent, readOnly]) await chmod(directory, 0o755)
  }
})

t.test("if a file replaces the directory, the recording fails with the system's message", async (t) => {
  const directory = join(await temporaryDirectory(t), 'below')
  const { recordings } = await build(t, { directory })
  await rm(directory, { recursive: true })
  await writeFile(directory, '')
  const recorder = recordings.start(streamOf())
  recorder.write(noise(1), 0)
  const error = await errorOf(recorder.finish(LISTEN))
  t.match(error, {
    code: 'FST_JAMBONZ_RECORDING_OPEN',
    message: /could not be opened: a part of its directory is a file\. Choose another.* \(ENOTDIR\)/
  })
  t.match(error.message, directory, 'the message names the path')
})

t.test("a sink gets a WAV during the call, and can set the recording's location", async (t) => {
  const bytes: Buffer[] = []
  const contexts: unknown[] = []
  const { recordings } = await build(t, {
    directory: undefined,
    sink: async ({ callSid, call }, context) => {
      contexts.push({ callSid, from: call.from, ...context })
      const sink = new Writable({
        write(chunk: Buffer, _, done) {
          bytes.push(chunk)
          setImmediate(done)
        }
      })
      return Object.assign(sink, { location: 'tape 7', details: { shelf: 3 } })
    }
  })
  const recorder = recordings.start(streamOf())
  for (let at = 0; at < 500; at++) recorder.write(pcm(1, at * 160, 160), 0)
  const recording = await recorder.finish(LISTEN)
  const all = Buffer.concat(bytes)
  t.ok(all.subarray(STREAM_HEADER_BYTES).equals(pcm(1, 0, 500 * 160)))
  t.match(recording, {
    location: 'tape 7',
    shelf: 3,
    format: 'wav',
    bytes: all.length,
    durationMs: 10_000,
    sha256: createHash('sha256').update(all).digest('hex')
  })
  t.match(contexts, [
    {
      callSid: LISTEN.callSid,
      from: '+15083084809',
      name: /^2026\/.*\.wav$/,
      contentType: 'audio/wav',
      attempt: 1
    }
  ])
})

t.test(
  'if a sink throws, returns a wrong value, breaks or closes early, only its recording fails',
  async (t) => {
    let made = 0
    const broken = [
      () => {
        throw new Error('no tape')
      },
      () => 'tape' as unknown as Writable,
      () =>
        new Writable({
          write(_chunk, _, done) {
            done(new Error('torn'))
          }
        }),
      () => {
        const sink = new PassThrough()
        setImmediate(() => {
          sink.destroy()
        })
        return sink
      },
      () =>
        new Writable({
          write(_chunk, _, done) {
            done()
          },
          final(done) {
            done(new Error('jammed'))
          }
        }),
      () =>
        new Writable({
          write() {
            throw new Error('thrown')
          }
        })
    ]
    const { recordings } = await build(t, {
      directory: undefined,
      flushInterval: 50,
      sink: () =>
        broken[made++]?.() ??
        new Writable({
          write(_chunk, _, done) {
            done()
          }
        })
    })
    const reasons = [
      /no tape/,
      /returned string, not a Writable/,
      /torn/,
      /closed before the end/,
      /jammed/,
      /thrown/
    ]
    for (const message of reasons) {
      const recorder = recordings.start(streamOf())
      recorder.write(pcm(1, 0, 160), 0)
      if (String(message).includes('closed')) {
        await until(() => {
          recorder.write(pcm(1, 0, 160), 0)
          return recorder.state === 'failed'
        }, 'the failure')
      }
      t.match(await errorOf(recorder.finish(LISTEN)), { code: 'FST_JAMBONZ_RECORDING_SINK', message })
    }
    const last = recordings.start(streamOf())
    last.write(pcm(1, 0, 160), 0)
    t.match(await last.finish(LISTEN), { state: 'saved' })
  }
)

t.test(
  'the recorder gives up a sink that accepts no data, after writeTimeout ms or maxBuffered bytes',
  async (t) => {
    const stuck = (): Writable => new Writable({ write() {} })
    const slow = await build(t, { directory: undefined, sink: stuck, writeTimeout: 100 })
    const recorder = slow.recordings.start(streamOf())
    recorder.write(pcm(1, 0, 160), 0)
    t.match(await errorOf(recorder.finish(LISTEN)), {
      code: 'FST_JAMBONZ_RECORDING_STALLED',
      message: /has not answered for 100 ms/
    })

    const bounded = await build(t, { directory: undefined, sink: stuck, maxBuffered: 128 * KIB })
    const greedy = bounded.recordings.start(streamOf())
    for (let at = 0; at < 100; at++) greedy.write(noise(4), 0)
    t.equal(greedy.state, 'failed')
    t.match(greedy.error, {
      code: 'FST_JAMBONZ_RECORDING_STALLED',
      message: /131072 bytes wait .* raise recording\.maxBuffered/
    })

    const shared = await build(t, { directory: undefined, sink: stuck, maxMemory: 1024 * KIB })
    const calls = Array.from({ length: 100 }, (_, at) =>
      shared.recordings.start(streamOf({ id: String(at) }))
    )
    for (const call of calls) call.write(noise(12), 0)
    t.equal(
      calls.filter(({ state }) => state === 'failed').length,
      100 - 64,
      'as many recordings are kept as fit into the memory limit'
    )
    t.match(calls.at(-1)?.error?.message, /all recordings together.*maxMemory|maxMemory/)
  }
)

t.test('the next start completes the files of calls that were live when the server closed', async (t) => {
  const directory = await temporaryDirectory(t)
  const { recordings } = await build(t, { directory })
  const recorder = recordings.start(streamOf())
  recorder.write(noise(30), 0)
  await recordings.close()
  await t.rejects(recorder.finish(LISTEN), {
    code: 'FST_JAMBONZ_RECORDING_CLOSED',
    message: /The next start completes it/
  })
  recorder.write(noise(1), 0)
  const next = await build(t, { directory })
  const recovered: unknown[] = []
  await next.recordings.recover((listen, recording) => {
    recovered.push({ id: listen.id, bytes: recording.bytes, recovered: recording.recovered })
  })
  t.same(recovered, [{ id: LISTEN.id, bytes: 30 * KIB + WAV_HEADER_BYTES, recovered: true }])
})

t.test('invalid options are refused with an error that names the options', async (t) => {
  const directory = await temporaryDirectory(t)
  const wrong: Array<[object, RegExp]> = [
    [{}, /recording: needs a `directory` to write to, or a `sink`/],
    [{ directory: 7 }, /recording\.directory: .*, not 7/],
    [{ directory, fileName: 'x' }, /recording\.fileName: .*not "x"/],
    [{ directory, flushInterval: 1 }, /recording\.flushInterval: .*not 1/],
    [{ directory, format: 'wma' }, /recording\.format: .*not "wma"/],
    [{ directory, typo: true }, /recording\.typo/],
    [
      { directory, encryption: { key: () => Buffer.alloc(32), keyId: 'x'.repeat(40) } },
      /recording\.encryption\.keyId: has more than 39 bytes/
    ],
    [{ directory, retention: { maxAge: 0 } }, /recording\.retention\.maxAge/],
    [{ sink: () => new PassThrough(), format: 'flac' }, /recording\.format: needs a recording\.directory/],
    [
      { directory, format: 'flac', ffmpeg: '/nowhere/ffmpeg' },
      /needs ffmpeg: "\/nowhere\/ffmpeg" can't be run .*Install ffmpeg/
    ]
  ]
  for (const [options, message] of wrong) {
    await t.rejects(build(t, { directory: undefined, ...options } as object), { message })
  }
  await mkdir(join(directory, 'bin'))
  const fake = join(directory, 'bin/ffmpeg')
  await writeFile(fake, '#!/bin/sh\necho Unknown encoder >&2; exit 1\n')
  await chmod(fake, 0o755)
  await t.rejects(build(t, { directory, format: 'opus', ffmpeg: fake }), {
    code: 'FST_JAMBONZ_RECORDING_FFMPEG',
    message: /can't make opus \(Unknown encoder\)/
  })
})

t.test(
  'after a stall of the disk, a block for each recording is kept of those that were needed meanwhile',
  async (t) => {
    const pool = new BlockPool(Infinity)
    const take = (count: number): Block[] =>
      Array.from({ length: count }, () => pool.take(SMALL_BLOCK)).filter((block) => block !== undefined)
    for (let i = 0; i < 32; i++) pool.expect(1)
    const stalled = take(64)
    t.equal(stalled.length, 64)
    for (const block of stalled) pool.give(block)
    t.equal(pool.lent, 0)
    const later = take(64)
    t.equal(later.filter((block) => stalled.includes(block)).length, 32, 'one for each recording')
    for (const block of later) pool.give(block)
    for (let i = 0; i < 32; i++) pool.expect(-1)
    t.notOk(
      take(1).some((block) => later.includes(block)),
      'without recordings, none is kept'
    )
  }
)
