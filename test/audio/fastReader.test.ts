import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Internals } from '../../lib/audio/socket/frames/Internals.js'
import type { AudioStream } from '../../lib/index.js'
import { build, folder, listening } from '../helpers/build.js'
import { askForListen, ramp } from '../helpers/listen.js'
import { keepingLogger } from '../helpers/log.js'
import { webSocketPair } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

const FRAME_BYTES = 320
const WAV_HEADER = /^RIFF/

/** Makes `calls` calls. Checks that all of their audio reaches the live listener and the recording. */
async function takeCalls(
  t: Test,
  calls: number,
  limits: { fastReader?: boolean },
  spoil = (_: WebSocket) => {}
) {
  const { logger, lines, said } = keepingLogger()
  const app = await build(t, {
    fastify: { loggerInstance: logger },
    recording: { directory: folder() },
    limits
  })
  const streams: AudioStream[] = []
  const heard: Buffer[] = []
  app.jambonz.webhook('/in', () => [
    { verb: 'listen', url: '/live', actionHook: '/done', passDtmf: true, sampleRate: 8000, mixType: 'mono' }
  ])
  app.jambonz.audio('/live', async (stream) => {
    streams.push(stream)
    for await (const frame of stream) heard.push(frame as Buffer)
  })
  app.jambonz.actionHook('/done', () => [])
  const base = await listening(app)
  for (let call = 1; call <= calls; call++) {
    heard.length = 0
    const asked = await askForListen(app, '/in', base)
    const socket = await asked.open()
    spoil(socket)
    const keys: string[] = []
    socket.send(asked.metadata())
    await until(() => streams.length === call, 'the stream')
    streams.at(-1)?.on('dtmf', ({ digit }) => keys.push(digit))
    const audio = ramp(1_000)
    for (let at = 0; at < audio.length; at += FRAME_BYTES) socket.send(audio.subarray(at, at + FRAME_BYTES))
    socket.send('{"event":"dtmf","dtmf":"5","duration":"1600"}')
    await until(() => keys.length === 1, 'the key')
    const recorded = once(app.jambonz.calls.events, 'recording')
    const pong = once(socket, 'pong')
    socket.ping('alive')
    await pong
    socket.close(1000)
    const [recording] = (await recorded) as [{ location: string }]
    t.same(Buffer.concat(heard), audio, 'the reader has all audio')
    const file = await readFile(recording.location)
    t.match(file.toString('latin1'), WAV_HEADER)
    t.ok(file.includes(audio), 'the file has all audio')
  }
  const metric = /^jambonz_streams_read_by_ws_total (\d+)$/m.exec(app.jambonz.metrics())?.[1]
  return { metric: Number(metric), lines, said }
}

t.test('with limits.fastReader: false, ws reads the sockets, and metric and log say so', async (t) => {
  const { metric, said } = await takeCalls(t, 2, { fastReader: false })
  t.equal(metric, 2)
  t.equal(said('limits.fastReader is false').length, 1, 'one line for all sockets')
})

t.test('the fast reader reads the sockets by default, without a log line', async (t) => {
  const { metric, said } = await takeCalls(t, 1, {})
  t.equal(metric, 0)
  t.equal(said('fast reader').length, 0)
})

t.test('with an unknown version of ws, ws reads the sockets, and metric and log say so', async (t) => {
  const setSocket = Reflect.get(WebSocket.prototype, 'setSocket') as (...args: unknown[]) => void
  t.teardown(() => Reflect.set(WebSocket.prototype, 'setSocket', setSocket))
  Reflect.set(WebSocket.prototype, 'setSocket', function (this: object, ...args: unknown[]) {
    setSocket.apply(this, args)
    const receiver: unknown = Reflect.get(this, '_receiver')
    Reflect.set(receiver as object, '_allowSynchronousEvents', undefined)
  })
  const { metric, said } = await takeCalls(t, 2, {})
  t.equal(metric, 2)
  const [line, ...more] = said('the fast reader does not know this version of ws')
  t.equal(more.length, 0, 'one line for all sockets')
  t.match(line, { level: 40, reason: 'ws', node: process.version })
})

t.test('Internals.of() names the part of ws or Node in which a property is missing', async (t) => {
  const { socket } = await webSocketPair(t)
  t.ok(Internals.of(socket) instanceof Internals, 'the installed ws and Node have all properties')
  const raw = Reflect.get(socket, '_socket') as object
  const handle = Reflect.get(raw, '_handle') as object

  for (const name of ['readStart', 'readStop', 'useUserBuffer', 'reading']) {
    // The property is hidden on a derived object. The handle itself must keep it, because Node is reading
    // from the handle.
    Reflect.set(raw, '_handle', Object.create(handle, { [name]: { value: undefined } }))
    t.equal(Internals.of(socket), 'node', `without ${name}`)
  }
  Reflect.set(raw, '_handle', handle)
  t.ok(Internals.of(socket) instanceof Internals)

  const receiver: unknown = Reflect.get(socket, '_receiver')
  for (const other of [undefined, {}, { write() {} }]) {
    Reflect.set(socket, '_receiver', other)
    t.equal(Internals.of(socket), 'ws')
  }
  Reflect.set(socket, '_receiver', receiver)
})
