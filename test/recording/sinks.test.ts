import { join } from 'node:path'
import { PassThrough, Transform, Writable } from 'node:stream'
import t from 'tap'
import type { FinishedRecording } from '../../lib/model/recording.js'
import type { RecordingError } from '../../lib/recording/types.js'
import type { Sink } from '../../lib/recording/options.js'
import { build, LISTEN, pcm, streamOf, temporaryDirectory, until } from '../helpers/recordings.js'

const boom = (): never => {
  throw new Error('boom')
}
const tick = async (): Promise<void> => {
  await new Promise(setImmediate)
}
const done = (_chunk: unknown, _encoding: unknown, callback: () => void): void => {
  callback()
}
const fake = (methods: object): Writable =>
  ({ write: () => true, end: () => {}, on: () => {}, once: () => {}, ...methods }) as unknown as Writable

/**
 * Faulty sinks, by their fault: all faults that a Writable, or an object that resembles a Writable, can have.
 */
const BROKEN: Record<string, Sink> = {
  'the factory throws': boom,
  'the factory rejects': async () => boom(),
  'the factory rejects with nothing': () =>
    new Promise((_resolve, reject) => {
      Reflect.apply(reject, undefined, [])
    }),
  'the constructor throws': () =>
    new (class extends Writable {
      constructor() {
        super()
        boom()
      }
    })(),
  'nothing is returned': () => undefined as unknown as Writable,
  'a number is returned': async () => 7 as unknown as Writable,
  'a web stream is returned': () => new WritableStream() as unknown as Writable,
  'a thenable that throws is returned': () => Object.defineProperty({}, 'then', { get: boom }) as Writable,
  'an object whose methods throw when they are looked at is returned': () =>
    Object.defineProperty({}, 'write', { get: boom }) as Writable,
  'a frozen stream is returned': () => Object.freeze(new Writable({ write: done })),
  'construct throws': () => new Writable({ construct: boom, write: done }),
  'construct rejects': () => new Writable({ construct: async () => boom(), write: done }),
  'write throws': () => new Writable({ write: boom }),
  'write throws once it is constructed': () =>
    new Writable({
      construct: (ready) => {
        setImmediate(ready)
      },
      write: boom
    }),
  'write throws once it is uncorked': () => {
    const sink = new Writable({ write: boom })
    sink.cork()
    setImmediate(() => {
      sink.uncork()
    })
    return sink
  },
  'write rejects': () => new Writable({ write: async () => boom() }),
  'write throws after it called back': () =>
    new Writable({
      write(_chunk, _encoding, callback) {
        callback()
        boom()
      }
    }),
  'write calls back twice': () =>
    new Writable({
      write(_chunk, _encoding, callback) {
        callback()
        callback()
      }
    }),
  'write calls back with no error': () =>
    new Writable({
      write(_chunk, _encoding, callback) {
        callback('torn' as unknown as Error)
      }
    }),
  'writev throws': () => {
    const sink = new Writable({ writev: boom })
    sink.cork()
    setImmediate(() => {
      sink.uncork()
    })
    return sink
  },
  'write() itself throws': () => Object.assign(new Writable({ write: done }), { write: boom }),
  'write() itself rejects': () => Object.assign(new Writable({ write: done }), { write: async () => boom() }),
  'transform throws': () => new Transform({ transform: boom }).resume(),
  'transform rejects': () => new Transform({ transform: async () => boom() }).resume(),
  'flush throws': () => new Transform({ transform: done, flush: boom }).resume(),
  'final throws': () => new Writable({ write: done, final: boom }),
  'final rejects': () => new Writable({ write: done, final: async () => boom() }),
  'end() itself throws': () => Object.assign(new Writable({ write: done }), { end: boom }),
  'end() itself rejects': () => Object.assign(new Writable({ write: done }), { end: async () => boom() }),
  'destroy throws': () =>
    new Writable({
      write(_chunk, _encoding, callback) {
        callback(new Error('torn'))
      },
      destroy: boom
    }),
  'destroy rejects': () => new Writable({ write: boom, destroy: async () => boom() }),
  'destroy() itself throws': () => Object.assign(new Writable({ write: boom }), { destroy: boom }),
  'the stream is destroyed before it is returned': () =>
    new Writable({ write: done }).destroy(new Error('torn')),
  'the stream is destroyed before the promise resolves': async () =>
    new Writable({ write: done }).destroy(new Error('torn')),
  'the stream is destroyed soon after': () => {
    const sink = new Writable({ write() {} })
    setImmediate(() => sink.destroy())
    return sink
  },
  'the stream was ended before': () => new Writable({ write: done }).end(),
  'the stream emits an error event with a value that is no error': () => {
    const sink = new Writable({ write() {} })
    setImmediate(() => sink.emit('error', null))
    return sink
  },
  'a finish listener of the stream throws': () => new Writable({ write: done }).on('finish', boom),
  'an error listener of the stream throws': () => new Writable({ write: boom }).on('error', boom),
  'on() throws': () => fake({ on: boom }),
  'once() is missing': () => fake({ once: undefined }),
  'write() of an object that is no stream throws': () => fake({ write: boom })
}

async function failureOf(finished: Promise<unknown>): Promise<RecordingError> {
  return await finished.then(
    () => {
      throw new Error('the recording did not fail')
    },
    (error: RecordingError) => error
  )
}

t.test('if a sink misbehaves during the call, only its recording fails', async (t) => {
  for (const [title, sink] of Object.entries(BROKEN)) {
    const { recordings } = await build(t, {
      directory: undefined,
      flushInterval: 50,
      sink: (stream, context) =>
        stream.listen.id === 'good' ? new PassThrough().resume() : sink(stream, context)
    })
    const good = recordings.start(streamOf({ id: 'good' }))
    const bad = recordings.start(streamOf())
    good.write(pcm(1, 0, 160), 0)
    bad.write(pcm(1, 0, 160), 0)
    await tick()
    const error = await failureOf(bad.finish(LISTEN))
    t.equal(error.code, 'FST_JAMBONZ_RECORDING_SINK', `${title}: ${error.message}`)
    t.match(await good.finish(LISTEN), { state: 'saved' }, title)
    await tick()
  }
})

t.test(
  'a sink that misbehaves with a complete recording prevents neither this start nor the next start',
  async (t) => {
    const directory = await temporaryDirectory(t)
    const first = await build(t, {
      directory,
      fileName: ({ listen }) => listen.id,
      sink: (stream, context) => BROKEN[stream.listen.id]?.(stream, context) ?? boom()
    })
    const spooled = Object.keys(BROKEN).map(async (id) => {
      const recorder = first.recordings.start(streamOf({ id }))
      recorder.write(pcm(1, 0, 160), 0)
      return await recorder.finish({ ...LISTEN, id })
    })
    for (const recording of await Promise.all(spooled)) t.match(recording, { state: 'spooled' })
    await first.recordings.close()

    const second = await build(t, {
      directory,
      sink: (stream, context) => BROKEN[stream.listen.id]?.(stream, context) ?? boom()
    })
    await second.recordings.recover(() => {})
    const failed = (): number =>
      second.logger.lines.filter(({ text }) => /could not be sent/.test(text)).length
    await until(() => failed() >= Object.keys(BROKEN).length, 'every recording to fail again')
    await second.recordings.close()

    const third = await build(t, { directory, sink: () => new PassThrough().resume() })
    const sent: FinishedRecording[] = []
    await third.recordings.recover((_, recording) => {
      sent.push(recording)
    })
    await until(() => sent.length === Object.keys(BROKEN).length, 'a good sink to get all recordings')
    t.ok(sent.every(({ state }) => state === 'saved'))
  }
)

t.test('invalid details that a sink returns are dropped, and the recording is saved', async (t) => {
  const circle: Record<string, unknown> = {}
  circle.circle = circle
  const details: Array<[unknown, object, boolean]> = [
    [{ shelf: 3, bytes: 7, format: 'flac' }, { shelf: 3, bytes: 7, format: 'flac' }, false],
    [{ id: 'theirs', state: 'gone', segments: 3, shelf: 4 }, { state: 'saved', shelf: 4 }, false],
    [{ bytes: 'many', shelf: 5 }, { bytes: /^\d+$/, shelf: undefined }, true],
    [{ durationMs: null }, { durationMs: 20 }, true],
    [{ size: 7n }, { size: undefined }, true],
    [circle, { circle: undefined }, true],
    ['text', { state: 'saved' }, false],
    [null, { state: 'saved' }, false]
  ]
  for (const directory of [undefined, await temporaryDirectory(t)]) {
    let said: unknown
    const { recordings, logger } = await build(t, {
      directory,
      ...(directory !== undefined && { fileName: ({ listen }) => listen.id }),
      sink: () =>
        Object.assign(new PassThrough().resume(), {
          details: said as Record<string, unknown>,
          location: 'there'
        })
    })
    for (const [at, [given, expected, warns]] of details.entries()) {
      said = given
      logger.lines.length = 0
      const recorder = recordings.start(streamOf({ id: `d${at}` }))
      recorder.write(pcm(1, 0, 160), 0)
      const recording = await recorder.finish(LISTEN)
      t.match(recording, { ...expected, location: 'there' })
      t.match(recording.id, /^[0-9a-f-]{36}$/)
      t.equal(recording.segments, undefined)
      t.equal(
        logger.lines.filter(({ level }) => level === 'warn').length,
        warns ? 1 : 0,
        JSON.stringify(expected)
      )
    }
  }
})

t.test('if the sink function resolves after its timeout, the stream is destroyed', async (t) => {
  const directory = await temporaryDirectory(t)
  let give = (_sink: Writable): void => {}
  const { recordings } = await build(t, {
    directory,
    fileName: () => 'call',
    writeTimeout: 1_000, // also of the file, on a busy machine
    sink: () =>
      new Promise<Writable>((resolve) => {
        give = resolve
      })
  })
  const recorder = recordings.start(streamOf())
  recorder.write(pcm(1, 0, 160), 0)
  let recording: FinishedRecording | undefined
  recorder.finish(LISTEN).then((finished) => {
    recording = finished
  }, t.error)
  t.match(await until(() => recording, 'the recording to be given up'), {
    state: 'spooled',
    location: join(directory, 'call.wav')
  })
  const late = new Writable({ write: done })
  give(late)
  await until(() => late.destroyed, 'the stream to be destroyed')
})
