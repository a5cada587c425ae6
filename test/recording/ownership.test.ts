import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { ensureDirectory } from '../../lib/recording/directory/files.js'
import { Instances, MISSED_BEATS } from '../../lib/recording/directory/Instances.js'
import type { FinishedRecording } from '../../lib/model/recording.js'
import { inspectWav, WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { build, LISTEN, pcm, streamOf, temporaryDirectory, until } from '../helpers/recordings.js'
import { V8_OPTIONS } from '../helpers/v8Options.js'

const CHILD = join(import.meta.dirname, '../helpers/skewedHost.js')
const THREAD = join(import.meta.dirname, '../helpers/recordingThread.js')
const MINUTE = 60_000
/**
 * ms between two heartbeats. A live host would be taken for dead if a busy machine delayed it by six
 * heartbeats.
 */
const HEARTBEAT = 500
const BYTES_PER_FRAME = 320

interface Host {
  child: ChildProcess
  output: () => string
}

function startHost(t: Test, directory: string, ahead: number, jump: number): Host {
  const child = spawn(
    process.execPath,
    [...V8_OPTIONS, CHILD, directory, String(ahead), String(jump), String(HEARTBEAT)],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {}
    }
  )
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return { child, output: () => text }
}

/** Resolves to the number of heartbeats in the instance file of this process. */
async function ownBeats(directory: string): Promise<number> {
  return await beatsOf(directory, 'test-')
}

async function beatsOf(directory: string, prefix: string): Promise<number> {
  const names = await readdir(join(directory, '.instances'))
  const own = names.find((name) => name.startsWith(prefix))
  return own === undefined ? 0 : Number.parseInt(await readFile(join(directory, '.instances', own), 'utf8'))
}

t.test("hosts whose clocks differ or jump do not change each other's live recordings", async (t) => {
  const directory = await temporaryDirectory(t)
  const { recordings, logger } = await build(t, { directory, fileName: ({ listen }) => listen.id }, HEARTBEAT)
  const recovered: FinishedRecording[] = []
  await recordings.recover((_, recording) => {
    recovered.push(recording)
  })
  await recordings.start(streamOf({ id: 'own' })).finish(LISTEN)
  const hosts = [
    startHost(t, directory, MINUTE, 0),
    startHost(t, directory, -MINUTE, 0),
    startHost(t, directory, 0, MINUTE),
    startHost(t, directory, MINUTE, -2 * MINUTE)
  ]
  await until(
    () => hosts.every(({ output }) => output().includes('recording')),
    'the hosts to record',
    60_000
  )
  for (const { child } of hosts) child.stdin?.write('jump\n')
  await until(() => hosts.every(({ output }) => output().includes('jumped')), 'the clocks to jump')
  const enough = (await ownBeats(directory)) + 10
  await until(async () => (await ownBeats(directory)) >= enough, 'ten checks of their heartbeats', 60_000)
  for (const { child } of hosts) child.stdin?.end()
  await until(() => hosts.every(({ output }) => output().includes('{')), 'the recordings')
  for (const { output } of hosts) {
    const { frames, recording } = JSON.parse(output().slice(output().indexOf('{'))) as {
      frames: number
      recording?: FinishedRecording
    }
    t.match(recording, { state: 'saved', recovered: undefined }, output())
    const file = await readFile(recording?.location ?? '')
    t.equal(file.length, WAV_HEADER_BYTES + frames * BYTES_PER_FRAME)
    t.ok(file.subarray(WAV_HEADER_BYTES).equals(pcm(1, 0, frames * (BYTES_PER_FRAME / 2))))
  }
  t.same(recovered, [])
  t.same(logger.lines, [])
})

/**
 * Makes the instance of this process look as if it ran on another machine. Other instances then declare it
 * dead if its heartbeat does not change.
 */
async function pretendElsewhere(directory: string): Promise<void> {
  const [own = ''] = await readdir(join(directory, '.instances'))
  const path = join(directory, '.instances', own)
  await writeFile(path, (await readFile(path, 'utf8')).replace(/"machine":"[^"]*"/, '"machine":"elsewhere"'))
}

for (const sent of [false, true]) {
  t.test(
    `a stalled process loses no audio if another process completed ${sent ? 'and sent ' : ''}its recording`,
    async (t) => {
      const directory = await temporaryDirectory(t)
      const sink = sent ? { sink: () => new PassThrough().resume() } : {}
      const stopped = await build(t, { directory, flushInterval: 50, fileName: () => 'call' })
      const recorder = stopped.recordings.start(streamOf())
      recorder.write(pcm(1, 0, 1600), 0)
      await until(
        async () =>
          (await readFile(join(directory, 'call.part.wav')).catch(() => '')).length > WAV_HEADER_BYTES,
        'the file'
      )
      await pretendElsewhere(directory)
      const other = await build(t, { directory, ...sink }, 50)
      const recovered: FinishedRecording[] = []
      await other.recordings.recover((_, recording) => {
        recovered.push(recording)
      })
      await until(() => recovered.length, 'the other process to complete the recording')
      t.match(recovered, [{ recovered: true, durationMs: 200 }])
      recorder.write(pcm(1, 1600, 1600), 0)
      const recording = await recorder.finish(LISTEN)
      t.match(recording, { state: 'saved', location: join(directory, 'call-2.wav'), durationMs: 400 })
      t.equal(
        recording.id,
        recovered[0]?.id,
        'the recording has the same id as the one that the other process completed'
      )
      const file = await readFile(recording.location)
      t.ok(file.subarray(WAV_HEADER_BYTES).equals(pcm(1, 0, 3200)))
      t.equal(inspectWav(file).dataBytes, 6400)
      t.match(stopped.logger.lines, [{ level: 'warn', text: /took this one for dead/ }])
      t.same(
        (await readdir(directory)).sort(),
        ['.instances', 'call-2.json', 'call-2.wav', 'call.json', ...(sent ? [] : ['call.wav'])].sort()
      )
    }
  )
}

t.test('the recording of a worker thread that ended is completed while its process goes on', async (t) => {
  const directory = await temporaryDirectory(t)
  const worker = new Worker(THREAD, { workerData: { directory, heartbeat: HEARTBEAT } })
  t.teardown(() => worker.terminate())
  await once(worker, 'message')
  const { recordings } = await build(t, { directory }, HEARTBEAT)
  const recovered: FinishedRecording[] = []
  await recordings.recover((_, recording) => {
    recovered.push(recording)
  })
  const enough = (await beatsOf(directory, 'thread-')) + MISSED_BEATS + 2
  await until(async () => (await beatsOf(directory, 'thread-')) > enough, 'heartbeats of the thread')
  t.same(recovered, [], 'a live thread keeps its recording')
  await worker.terminate()
  await until(() => recovered.length, 'the recording')
  t.match(recovered, [{ recovered: true, durationMs: 200, location: join(directory, 'call.wav') }])
})

t.test(
  'an instance whose file can not be read is alive as long as the date of the file changes',
  async (t) => {
    const directory = await temporaryDirectory(t)
    const token = 'other-0123456789ab'
    const path = join(directory, '.instances', token)
    await ensureDirectory(join(directory, '.instances'))
    await writeFile(path, 'x'.repeat(5_000)) // more than an instance writes
    const looker = new Instances(directory, 'looker', 50)
    await looker.announce()
    t.teardown(() => looker.close())
    let dates = 0
    await until(async () => {
      await utimes(path, ++dates, dates)
      t.ok(await looker.isAlive(token))
      return (await beatsOf(directory, 'looker-')) > 3 * MISSED_BEATS
    }, 'many looks')
    await until(async () => !(await looker.isAlive(token)), 'the instance to count as dead')
  }
)

t.test('an instance creates its instance file once, even if many callers request it', async (t) => {
  const directory = await temporaryDirectory(t)

  t.test('the first heartbeats, which come while the instance file is created, do no harm', async (t) => {
    for (let round = 0; round < 20; round++) {
      const instances = new Instances(directory, `beats-${round}`, 1)
      await instances.watch()
      await t.resolves(instances.announce())
      t.ok(await instances.now())
      await instances.close()
    }
    t.strictSame(await readdir(join(directory, '.instances')), [])
  })

  t.test('several callers after the instance file was removed', async (t) => {
    const instances = new Instances(directory, 'taken-away')
    await instances.announce()
    await rm(join(directory, '.instances', instances.token))
    await t.resolves(Promise.all(Array.from({ length: 5 }, () => instances.now())))
    t.strictSame(await readdir(join(directory, '.instances')), [instances.token])
    await instances.close()
  })
})

t.test('many callers can create a directory and its parents at the same time', async (t) => {
  const directory = await temporaryDirectory(t)
  for (let round = 0; round < 100; round++) {
    const levels = [String(round), '2026', '11', '28']
    // One caller creates the deepest directory. At the same time, others create its parents.
    const makers = levels.map((_, at) =>
      ensureDirectory(join(directory, ...levels.slice(0, levels.length - at)))
    )
    await Promise.all(makers)
  }
  t.equal((await readdir(directory, { recursive: true })).length, 400)
  await t.rejects(
    ensureDirectory('/proc/jambonz/2026/11'),
    { code: 'ENOENT' },
    'if the directory can not be created, the promise rejects'
  )
})
