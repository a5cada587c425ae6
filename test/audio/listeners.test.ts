import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import t, { type Test } from 'tap'
import type { AudioStream } from '../../lib/audio/stream/AudioStream.js'
import type { Listen } from '../../lib/model/schema.js'
import { ramp } from '../helpers/listen.js'
import { closing } from '../helpers/socket.js'
import { streamPair, until } from '../helpers/streamPair.js'

t.jobs = 10
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

const EVENTS = [
  'data',
  'readable',
  'end',
  'close',
  'finish',
  'pause',
  'resume',
  'error',
  'audio',
  'dtmf',
  'mark'
] as const

const oops = (): never => {
  throw new Error('oops')
}

/** Causes every event of a stream for which a listener may wait. */
async function everything(readable: Readable, { stream, socket }: Awaited<ReturnType<typeof streamPair>>) {
  if (readable.listenerCount('readable') === 0) {
    readable.resume()
    readable.pause()
    readable.resume()
  } else readable.read(0)
  socket.send('{"event":"dtmf","dtmf":"1","duration":"100"}')
  socket.send('{"type":"mark","data":{"name":"x","event":"playout"}}')
  socket.send(ramp(20))
  await until(() => stream.counts.frames > 0 || stream.destroyed)
  stream.end()
  socket.close(1000)
  await stream.done
  readable.resume()
  await until(() => {
    readable.read()
    return readable.destroyed
  })
}

for (const [what, callback] of [
  ['throws', oops],
  ['rejects', async () => oops()]
] as const) {
  test(`a callback of write() that ${what} ends only this stream, not the process, and is logged`, async (t) => {
    const { stream, log, socket } = await streamPair(t, {
      listen: { bidirectional: { mode: 'streaming', sampleRate: 8000 } }
    })
    const closed = closing(socket)
    stream.write(ramp(20), callback)
    t.equal((await closed).code, 1011)
    t.match(
      log.filter(({ level }) => level >= 50),
      [{ msg: /a listener of the audio stream threw/, err: { message: 'oops' } }]
    )
  })
}

for (const event of EVENTS) {
  for (const [whose, of] of [
    ['the stream', (stream: AudioStream): Readable => stream],
    ['channel()', (stream: AudioStream): Readable => stream.channel('caller')]
  ] as const) {
    if (whose === 'channel()' && ['finish', 'audio', 'dtmf', 'mark'].includes(event)) continue
    test(`a listener for ${event} of ${whose} that throws ends only this stream, not the process, and is logged`, async (t) => {
      const pair = await streamPair(t, { listen: { bidirectional: { mode: 'streaming', sampleRate: 8000 } } })
      const readable = of(pair.stream)
      let next = 0
      readable.on(event, oops)
      if (event === 'error') readable.destroy(new Error('failed'))
      if (event === 'end' || event === 'close') readable.on(event, () => next++)
      await everything(readable, pair)
      await until(() => pair.log.some(({ err }) => (err as Error | undefined)?.message === 'oops'))
      if (event === 'end' || event === 'close') t.equal(next, 1, 'the next listener of the event runs too')
    })
  }
}

test('a listener that throws during the call ends its stream with 1011', async (t) => {
  for (const event of ['data', 'readable', 'pause', 'audio'] as const) {
    const { stream, socket } = await streamPair(t)
    stream.on(event, oops)
    if (event === 'pause') stream.resume().pause()
    socket.send(ramp(20))
    t.match(await closing(socket), { code: 1011 }, event)
    t.match(await stream.done, { reason: 'error', error: { message: 'oops' } })
  }
})

test('a channel that is destroyed with an error ends its stream with 1011; without an error, the stream continues', async (t) => {
  const left = await streamPair(t)
  left.stream.channel('caller').destroy()
  const failed = await streamPair(t)
  failed.stream.channel('caller').destroy(new Error('stt is down'))
  t.match(await closing(failed.socket), { code: 1011 })
  t.match(await failed.stream.done, { reason: 'error', error: { message: 'stt is down' } })
  const piped = await streamPair(t)
  const piping = pipeline(
    piped.stream.channel('caller'),
    new Writable({ write: (_frame, _encoding, done) => done(new Error('disk full')) })
  )
  piped.socket.send(ramp(20))
  await t.rejects(piping, { message: 'disk full' })
  t.match(await piped.stream.done, { reason: 'error', error: { message: 'disk full' } })
  left.socket.send(ramp(20))
  await until(() => left.stream.counts.frames === 1)
  left.socket.close(1000)
  t.match(await left.stream.done, { reason: 'closed' })
})

test('the log says that jambonz sends no keys, if a listener waits for keys and the verb lacks passDtmf', async (t) => {
  const bidirectional = { mode: 'off', sampleRate: 8000 } as const
  const told = async (listen: Partial<Listen>) => {
    const { stream, log } = await streamPair(t, { listen })
    stream.on('audio', () => {})
    stream.on('dtmf', () => {})
    stream.once('dtmf', () => {})
    return log.filter(({ msg }) => msg.includes('passDtmf: true')).length
  }
  t.equal(await told({ bidirectional }), 1)
  t.equal(await told({ bidirectional, passDtmf: true }), 0)
  t.equal(await told({}), 0, 'the verb is not known')
})
