import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { RoundRobin } from '../example-app/cluster/RoundRobin.js'
import { applicationOf, goingOn, verbsToGoOn } from '../lib/correlation/handover.js'
import { redisStore } from '../lib/store/redis.js'
import type { CallStore } from '../lib/store/CallStore.js'
import { listenIn } from '../lib/model/callWrite.js'
import { withSegment } from '../lib/model/listenLife.js'
import type { StoredCall } from '../lib/model/schema.js'
import { bytesOf, samplesOf } from '../lib/pcm/samples.js'
import type { AudioStream, Call, HandlerResult, Listen, RecordingOptions, Verb } from '../lib/index.js'
import type { FinishedRecording } from '../lib/model/recording.js'
import {
  simulateCall,
  speechLike,
  type CallStory,
  type RequestRecord,
  type SimulateCallOptions,
  type SimulatedCall
} from '../lib/simulator/index.js'
import { build, folder, listening } from './helpers/build.js'
import { keepingLogger, type LogLine } from './helpers/log.js'
import { askForListen, ramp } from './helpers/listen.js'
import { callWebhook } from './helpers/payloads.js'
import { basic, openSocket } from './helpers/socket.js'
import { noRedis, startRedis, type RedisServer } from './helpers/redis.js'
import { until } from './helpers/until.js'

/** pino's level of a line that is no warning and no error */
const INFO = 30
/** ms: long, because a busy machine delays heartbeats, and no instance may be taken for dead */
const HEARTBEAT = 3_000
const AUTH = { username: 'jambonz', password: 'not for the store' }

interface Instance {
  app: FastifyInstance
  store: CallStore
  port: number
  /** The listens that the actionHook handler of this instance was called with. */
  hooks: Listen[]
  ended: Listen[]
  recordings: unknown[]
  lines: LogLine[]
  /** Runs before each request and each socket of this instance. */
  before?: (request: FastifyRequest) => Promise<void>
}

/** A listen in the verbs of an answer. */
interface SentListen {
  url: string
  actionHook: string
  metadata: { jambonzListenId: string }
}

/**
 * Starts two instances of an application that answers with `verbs`, and a load balancer that routes
 * everything to the first instance until `lead()` names another.
 */
async function two(t: Test, redis: RedisServer, verbs: HandlerResult, sink?: RecordingOptions['sink']) {
  const shared = folder()
  const instance = async (): Promise<Instance> => {
    const store = redisStore(new Redis(redis.url, { lazyConnect: true }), {
      timeout: 10_000,
      heartbeat: HEARTBEAT
    })
    const { logger, lines } = keepingLogger()
    const app = await build(t, {
      fastify: { loggerInstance: logger },
      auth: AUTH,
      secret: 'one secret for both',
      store,
      recording: sink ? { directory: folder(), sink } : { directory: shared }
    })
    const seen: Omit<Instance, 'app' | 'port' | 'store'> = { hooks: [], ended: [], recordings: [], lines }
    app.addHook('onRequest', async (request) => await started.before?.(request))
    app.jambonz.calls.events.on('listenEnded', (listen) => {
      seen.ended.push(listen)
    })
    app.jambonz.calls.events.on('recording', (recording) => {
      seen.recordings.push(recording)
    })
    app.jambonz.webhook('/call', async () => verbs)
    app.jambonz.actionHook('/done', async ({ listen }) => {
      seen.hooks.push(listen)
    })
    app.jambonz.actionHook('/next', async () => [{ verb: 'listen', actionHook: '/done' }])
    app.jambonz.actionHook('/empty', async (_request, reply) => reply.code(204).send())
    app.jambonz.actionHook('/noContent', async (_request, reply) => {
      reply.code(204)
    })
    app.jambonz.actionHook('/json', async (_request, reply) => {
      return reply.type('application/json').send('[{"verb":"hangup"}]')
    })
    app.jambonz.audio('/speaker', async (stream) => {
      stream.write(bytesOf(new Int16Array(4_800).fill(2_000)))
    })
    app.jambonz.statusHook('/status')
    const started: Instance = { app, store, port: 0, ...seen }
    started.port = Number(new URL(await listening(app)).port)
    return started
  }
  const [a, b] = [await instance(), await instance()]
  const balancer = new RoundRobin()
  t.teardown(() => balancer.close())
  balancer.ports.push(a.port)
  const url = await balancer.listen()
  /** Routes every new request and socket to the instance `to`. */
  const lead = (to: Instance): void => {
    balancer.ports.splice(0, balancer.ports.length, to.port)
  }
  const { samples, sampleRate } = speechLike(20, 8000)
  const call = (options: Partial<SimulateCallOptions> = {}): SimulatedCall =>
    simulateCall({
      url: `${url}/call`,
      statusHook: '/status',
      speech: { pcm: samples, sampleRate },
      speed: 1,
      patienceMs: 20_000,
      ...options
    })
  return { a, b, lead, call, store: clientOf(t, redis) }
}

function clientOf(t: Test, { url }: RedisServer): Redis {
  const client = new Redis(url)
  t.teardown(() => client.disconnect())
  return client
}

/**
 * Returns verbs that record in the background, and then listen in the foreground until the caller presses #.
 * `between`: verbs between these two.
 */
const beside = (...between: Verb[]): Verb[] => [
  { verb: 'config', listen: { enable: true, mixType: 'stereo' } },
  ...between,
  { verb: 'listen', actionHook: '/done', finishOnKey: '#' },
  { verb: 'pause', length: 5 }
]

/** Sends the request for a socket to another instance, which must refuse it, and refuses it with the same status. */
async function refusedBy({ port }: Instance, { url, headers }: FastifyRequest): Promise<never> {
  const asked = httpRequest({ port, host: '127.0.0.1', path: url, headers, agent: false }).end()
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  answer.resume()
  throw Object.assign(new Error('refused by the other instance'), { statusCode: answer.statusCode })
}

/** Refuses the request for a socket as a load balancer does whose instance has just stopped. */
async function noneReached(): Promise<never> {
  throw Object.assign(new Error('the instance has stopped'), { statusCode: 502 })
}

/** Returns a list to which each wait of the instance is added whose listen did not reach the awaited state. */
function waitsInVain({ store }: Instance): number[] {
  const inVain: number[] = []
  const waitFor = store.waitFor.bind(store)
  store.waitFor = async (callSid, listenId, reached, timeoutMs) => {
    const call = await waitFor(callSid, listenId, reached, timeoutMs)
    if (!reached(listenIn(call, listenId))) inVain.push(timeoutMs)
    return call
  }
  return inVain
}

/** Returns the sockets of a call that are open now. */
function open({ listens }: SimulatedCall): SimulatedCall['listens'] {
  return listens.filter(({ openedAtMs, closedAtMs }) => openedAtMs !== undefined && closedAtMs === undefined)
}

/**
 * Checks that both listens of a call have two segments, and that all audio that jambonz sent is counted and
 * recorded exactly once.
 */
function wholeInTwo(t: Test, { ended, recordings }: Instance, { listens }: CallStory): void {
  t.equal(recordings.length, 2)
  for (const listen of ended) {
    const sent = listens
      .filter(({ role }) => (role === 'background') === (listen.nested === 'config'))
      .map(({ sent }) => sent.bytes)
    t.strictSame(
      listen.segments?.map(({ audio }) => audio.bytes),
      sent,
      'both segments'
    )
    t.equal(listen.audio.bytes, sent[0]! + sent[1]!, 'once each')
    const { segments = [] } = listen.recording as FinishedRecording
    t.strictSame(
      segments.map(({ durationMs }) => Math.round(durationMs * 16 * listen.channels)),
      sent
    )
  }
}

async function heardOf(call: SimulatedCall, ms: number): Promise<void> {
  const live = call.listens
    .filter(({ closedAtMs, refused }) => closedAtMs === undefined && refused === undefined)
    .at(-1)
  await until(() => live?.openedAtMs !== undefined && call.now - live.openedAtMs > ms, 'some of its audio')
}

/** Returns the verbs with which hooks were answered. */
function replies(requests: RequestRecord[]): Array<Array<Record<string, unknown>>> {
  return requests
    .filter(({ kind }) => kind === 'hook')
    .map(({ reply }) => reply as Array<Record<string, unknown>>)
}

t.test('a drain hands live listens over to another instance', { skip: noRedis(), jobs: 5 }, async (t) => {
  const redis = await startRedis(t)

  t.test('a paused recording stays paused at the next instance', { buffered: true }, async (t) => {
    for (const mode of ['silence', 'skip'] as const) {
      const { a, b, lead, call: dial } = await two(t, redis, [{ verb: 'listen', actionHook: '/done' }])
      const first = once(a.app.jambonz.calls.events, 'stream') as Promise<[AudioStream]>
      const next = once(b.app.jambonz.calls.events, 'stream') as Promise<[AudioStream]>
      const call = dial()
      const [stream] = await first
      await heardOf(call, 200)
      stream.recording?.pause(mode)
      await heardOf(call, 300)
      lead(b)
      await a.app.jambonz.drain(0, { handover: true })
      const [goesOn] = await next
      t.match(goesOn, { isPrivate: true, recording: { state: 'paused' }, listen: { paused: mode } })
      await heardOf(call, 200)
      goesOn.recording?.resume()
      t.match(goesOn, { isPrivate: false, recording: { state: 'recording' }, listen: { paused: false } })
      await heardOf(call, 500)
      call.hangUp()
      await call
      await until(() => b.ended.length > 0, 'the end of the listen')
      const [listen] = b.ended
      t.match(listen, { paused: false })
      const segments = (listen?.recording as FinishedRecording | undefined)?.segments
      t.equal(segments?.length, 2)
    }
  })

  t.test(
    'a recording stays paused at the next instance if its handler calls endPrivacy() as the stream ends',
    { buffered: true },
    async (t) => {
      const { a, b, lead, call: dial } = await two(t, redis, [{ verb: 'listen', actionHook: '/done' }])
      const first = once(a.app.jambonz.calls.events, 'stream') as Promise<[AudioStream]>
      const next = once(b.app.jambonz.calls.events, 'stream') as Promise<[AudioStream]>
      const call = dial()
      const [stream] = await first
      await heardOf(call, 200)
      stream.beginPrivacy('skip')
      // This has the same effect as `try { … } finally { stream.endPrivacy() }` in an audio handler.
      stream.done.then(() => stream.endPrivacy()).catch(() => {})
      lead(b)
      await a.app.jambonz.drain(0, { handover: true })
      const [goesOn] = await next
      t.match(stream, { isPrivate: true })
      t.match(goesOn, { isPrivate: true, listen: { paused: 'skip' } })
      t.match(await b.app.jambonz.calls.get(stream.callSid), { listens: [{ paused: 'skip' }] })
      call.hangUp()
      await call
    }
  )

  t.test(
    'a paused recording stays paused at the next instance if Redis has lost the listen',
    { buffered: true },
    async (t) => {
      const own = await startRedis(t)
      const { a, b, lead, call: dial } = await two(t, own, [{ verb: 'listen', actionHook: '/done' }])
      const first = once(a.app.jambonz.calls.events, 'stream') as Promise<[AudioStream]>
      const next = once(b.app.jambonz.calls.events, 'stream') as Promise<[AudioStream]>
      const call = dial().once('hook', () => lead(b))
      const [stream] = await first
      await heardOf(call, 200)
      stream.beginPrivacy('silence')
      await own.kill()
      await a.app.jambonz.drain(0, { handover: true })
      const [goesOn] = await next
      t.match(goesOn, { isPrivate: true, listen: { paused: 'silence' } })
      call.hangUp()
      await call
      await own.start()
    }
  )

  t.test(
    'a foreground listen continues at another instance, in a second segment',
    { buffered: true },
    async (t) => {
      const {
        a,
        b,
        lead,
        call: dial,
        store
      } = await two(t, redis, [
        {
          verb: 'listen',
          actionHook: '/done',
          playBeep: true,
          maxLength: 60,
          finishOnKey: '#',
          metadata: { line: 7 }
        },
        { verb: 'tag', data: { after: 'the listen' } },
        { verb: 'hangup' }
      ])
      const call = dial()
      await call.waitFor('listen:open')
      await heardOf(call, 200)
      const listenId = (call.listens[0]?.metadata as { jambonzListenId: string }).jambonzListenId
      const stream = once(b.app.jambonz.calls.events, 'stream')
      lead(b)
      await a.app.jambonz.drain(0, { handover: true })
      const [next] = (await stream) as [{ listen: Listen; metadata: unknown }]
      t.match(next, {
        listen: { id: listenId, segments: [{ audio: { durationMs: Number } }] },
        metadata: { line: 7 }
      })
      await heardOf(call, 200)
      t.notMatch(
        JSON.stringify(await store.hgetall(`jambonz:call:{${next.listen.callSid}}`)),
        /not for the store/
      )
      call.press('#')
      const { requests, verbs, listens, errors } = await call

      t.strictSame(errors, [])
      t.strictSame(
        verbs.map(({ verb }) => verb),
        ['listen', 'listen', 'tag', 'hangup'],
        'the verbs after the listen still follow it'
      )
      const [[again = {}] = [], last] = replies(requests)
      t.match(again, {
        verb: 'listen',
        actionHook: /\/done\?listen=/,
        finishOnKey: '#',
        wsAuth: AUTH,
        maxLength: Number
      })
      t.notOk('playBeep' in again)
      t.strictSame(last, [], 'the actionHook handler ran once, at the end')
      t.match([a.hooks, a.ended, a.recordings], [[], [], []])
      t.match([b.hooks.length, b.ended.length, b.recordings.length], [1, 1, 1])

      const [listen] = b.hooks
      const sent = listens.map(({ sent }) => sent.bytes)
      t.match(listen, {
        id: listenId,
        state: 'ended',
        endReason: 'finishOnKey',
        digits: '#',
        offers: 1,
        maxLength: 60
      })
      t.strictSame(
        listen?.segments?.map(({ audio }) => audio.bytes),
        sent
      )
      t.equal(listen?.audio.bytes, sent[0]! + sent[1]!)
      t.ok(listen!.audio.maxGapMs < 1_000 && listen!.audio.gapMs >= listen!.audio.maxGapMs)
      t.equal(new Set(listen?.segments?.map(({ instance }) => instance)).size, 2)
      const { segments = [] } = listen?.recording as FinishedRecording
      t.match(
        segments.map(({ location }) => location),
        [/\.wav$/, /\.2\.wav$/]
      )
      t.strictSame(
        segments.map(({ durationMs }) => durationMs * 16),
        sent
      )
    }
  )

  t.test(
    'the next socket opens before the last recording is saved, but the listen ends after all are saved',
    { buffered: true },
    async (t) => {
      const sent: string[] = []
      // Each recording takes 1.5 s to be saved.
      const slow: RecordingOptions['sink'] = (_stream, { name }) =>
        new Writable({
          write: (_chunk, _encoding, done) => {
            done()
          },
          final(done) {
            setTimeout(() => {
              sent.push(name)
              done()
            }, 1_500)
          }
        })
      const { a, b, lead, call: dial } = await two(t, redis, [{ verb: 'listen', actionHook: '/done' }], slow)
      const [call, gone] = [dial(), dial()]
      await Promise.all([call.waitFor('listen:open'), gone.waitFor('listen:open')])
      gone.once('listen:close', () => gone.hangUp())
      lead(b)
      const drained = a.app.jambonz.drain(0, { handover: true })
      await until(() => call.listens.length === 2, 'the next listen')
      t.strictSame(sent, [], 'jambonz is asked to listen before the recording is saved')
      await until(() => call.listens[1]?.openedAtMs, 'the second socket')
      call.hangUp()
      const stories = await Promise.all([call, gone])
      const hooks = stories.map(({ callSid }) => b.hooks.find((listen) => listen.callSid === callSid))
      t.match(hooks, [
        { state: 'ended', endReason: 'closed', saved: 2 },
        { state: 'ended', endReason: 'drained', saved: 1 }
      ])
      const { segments = [] } = hooks[0]?.recording as FinishedRecording
      t.strictSame(
        segments.map(({ location }) => location.slice(-6)),
        [`${hooks[0]?.id.slice(-2)}.wav`, '.2.wav']
      )
      t.match(hooks[1]?.recording, { state: 'saved', location: String })
      t.equal(sent.length, 3, 'all recordings are saved when the handlers run')
      await drained
      t.match([a.recordings.length, b.recordings.length], [0, 2], 'each recording is reported once')
    }
  )

  t.test(
    "nested listens without a foreground listen are not handed over, and end at the drain's deadline",
    { buffered: true },
    async (t) => {
      const target = [{ type: 'phone', number: '+15550100' }]
      const {
        a,
        b,
        lead,
        call: dial
      } = await two(t, redis, [
        { verb: 'config', listen: { enable: true } },
        { verb: 'dial', target, listen: { url: '/audio' } } as never
      ])
      const call = dial()
      await until(
        () => call.listens.length === 2 && call.listens.every(({ openedAtMs }) => openedAtMs !== undefined),
        'both sockets'
      )
      lead(b)
      const began = performance.now()
      await a.app.jambonz.drain(200, { handover: true })
      t.ok(performance.now() - began >= 200, 'the listens continued until the deadline')
      t.match(a.ended.map(({ nested, endReason }) => [nested, endReason]).sort(), [
        ['config', 'drained'],
        ['dial', 'drained']
      ])
      call.hangUp()
      t.equal((await call).listens.length, 2)
      t.strictSame(b.ended, [])
    }
  )

  for (const { title, platform } of [
    { title: 'on a jambonz where the end of one listen ends all', platform: '0.9' },
    { title: 'on a jambonz where each listen ends alone', platform: '11' }
  ] as const) {
    t.test(`all listens of a call are handed over together, ${title}`, { buffered: true }, async (t) => {
      const { a, b, lead, call: dial } = await two(t, redis, beside())
      const inVain = waitsInVain(b)
      const call = dial({ platform })
      await until(() => open(call).length === 2, 'both sockets')
      await heardOf(call, 300)
      lead(b)
      await a.app.jambonz.drain(5_000, { handover: true })
      await until(
        () => call.listens.length === 4 && open(call).length === 2,
        'the next sockets of both listens'
      )
      await heardOf(call, 300)
      call.press('#')
      await call.waitFor('verb', ({ verb }) => verb === 'pause')
      call.hangUp()
      const story = await call
      t.strictSame(story.errors, [])
      t.strictSame(
        story.verbs.map(({ verb }) => verb),
        ['config', 'listen', 'config', 'listen', 'pause']
      )
      await until(() => b.ended.length === 2, 'both ends')
      t.match(
        [a.ended, a.hooks, a.recordings],
        [[], [], []],
        'the drained instance reports no end, hook or recording'
      )
      t.equal(b.hooks.length, 1)
      t.strictSame(inVain, [], 'the ends waited for no recording longer than it took')
      wholeInTwo(t, b, story)
    })
  }

  t.test(
    'a call whose listens are on two instances is handed over as a whole, also if messages between them are lost',
    { buffered: true },
    async (t) => {
      for (const [goes, message] of [
        ['background', 'comes'],
        ['foreground', 'comes'],
        ['background', 'is lost'],
        ['foreground', 'is lost']
      ] as const) {
        const { a, b, lead, call: dial } = await two(t, redis, beside({ verb: 'pause', length: 1 }))
        if (message === 'is lost') for (const { store } of [a, b]) store.tell = () => {}
        const call = dial()
        call.on('listen:open', ({ role }) => {
          if (role === 'background') lead(b)
        })
        await until(() => open(call).length === 2, 'both sockets')
        await heardOf(call, 300)
        const [going, stays] = goes === 'background' ? [a, b] : [b, a]
        lead(stays)
        await going.app.jambonz.drain(5_000, { handover: true })
        await until(
          () => call.listens.length === 4 && open(call).length === 2,
          'the next sockets of both listens'
        )
        await heardOf(call, 300)
        call.hangUp()
        const story = await call
        await until(() => stays.ended.length === 2, 'both ends')
        t.strictSame(going.ended, [], `the ${goes} goes, and the message ${message}`)
        t.match(
          stays.ended.map(({ endReason }) => endReason),
          ['closed', 'closed']
        )
        wholeInTwo(t, stays, story)
      }
    }
  )

  t.test(
    'the answer starts a background listen again also if a busy instance hands it over late',
    { buffered: true },
    async (t) => {
      const { a, b, lead, call: dial } = await two(t, redis, beside({ verb: 'pause', length: 1 }))
      const call = dial()
      call.on('listen:open', ({ role }) => {
        if (role === 'background') lead(b)
      })
      await until(() => open(call).length === 2, 'both sockets')
      await heardOf(call, 200)
      lead(a)
      // The instance with the background socket takes 700 ms to write that the listen waits for its next socket.
      const write = a.store.write.bind(a.store)
      a.store.write = async (callSid, parts) => {
        const isHandover = parts.some(({ patch }) => patch.listens?.some(({ instance }) => instance === null))
        if (isHandover) await delay(700)
        return await write(callSid, parts)
      }
      await b.app.jambonz.drain(5_000, { handover: true })
      await until(() => call.listens.length === 4 && open(call).length === 2, 'the next sockets')
      call.hangUp()
      t.strictSame(
        replies((await call).requests)[0]?.map(({ verb }) => verb),
        ['config', 'listen', 'pause']
      )
      await until(() => a.ended.length === 2, 'both ends')
      t.match(
        a.ended.map(({ endReason }) => endReason),
        ['closed', 'closed']
      )
    }
  )

  t.test(
    'a background listen of an earlier answer is handed over with the listen of a later answer',
    { buffered: true },
    async (t) => {
      const {
        a,
        b,
        lead,
        call: dial
      } = await two(t, redis, [
        { verb: 'config', listen: { enable: true, metadata: { line: 7 } } },
        { verb: 'listen', actionHook: '/next', maxLength: 1 }
      ])
      const call = dial()
      await until(() => call.listens.length === 3 && open(call).length === 2, 'the second listen')
      await heardOf(call, 100)
      lead(b)
      await a.app.jambonz.drain(5_000, { handover: true })
      await until(
        () => call.listens.length === 5 && open(call).length === 2,
        'the next sockets of both listens'
      )
      t.match(call.listens[3], { role: 'background', metadata: { line: 7 } })
      call.hangUp()
      await call
      await until(() => b.ended.length === 2, 'both ends')
      t.match(b.ended.find(({ nested }) => nested === 'config')?.segments, [{}, {}])
    }
  )

  t.test(
    "each segment contains its part of the application's audio, and each utterance is listed once",
    { buffered: true },
    async (t) => {
      const {
        a,
        b,
        lead,
        call: dial
      } = await two(t, redis, [
        {
          verb: 'listen',
          url: '/speaker',
          actionHook: '/done',
          bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8000 }
        }
      ])
      const call = dial()
      await call.waitFor('listen:open')
      await heardOf(call, 1_500)
      lead(b)
      await a.app.jambonz.drain(0, { handover: true })
      await until(
        () => call.listens.length === 2 && call.listens[1]?.openedAtMs !== undefined,
        'the next socket'
      )
      await heardOf(call, 1_500)
      call.hangUp()
      await call
      await until(() => b.ended.length === 1, 'the end')
      const [listen] = b.ended
      const { segments = [] } = listen?.recording as FinishedRecording
      t.equal(segments.length, 2)
      for (const { location } of segments) {
        const file = await readFile(location)
        const pairs = samplesOf(file.subarray(file.indexOf('data') + 8))
        t.equal(
          pairs.filter((sample, at) => at % 2 === 1 && sample === 2_000).length,
          4_800,
          '600 ms of the application in the right channel'
        )
      }
      t.match(listen?.output, [
        { id: 'speech-1', heardMs: 600, outcome: 'playout' },
        { id: 'speech-2', heardMs: 600, outcome: 'playout' }
      ])
      const [first, second] = listen?.output ?? []
      t.ok((second?.atMs ?? 0) - (first?.atMs ?? 0) > 1_000, 'both times count from the same start')
    }
  )

  t.test(
    'a drain without handover ends all listens of a call with endReason drained',
    { buffered: true },
    async (t) => {
      const { a, call: dial } = await two(t, redis, beside())
      const call = dial()
      await until(() => open(call).length === 2, 'both sockets')
      await heardOf(call, 100)
      await a.app.jambonz.drain()
      t.match(
        a.ended.map(({ endReason }) => endReason),
        ['drained', 'drained']
      )
      t.equal(a.hooks.length, 1)
      t.equal(a.recordings.length, 2)
      call.hangUp()
      const { listens } = await call
      const bytes = (all: Array<{ bytes: number }>) => all.map((each) => each.bytes).sort()
      t.strictSame(bytes(a.ended.map(({ audio }) => audio)), bytes(listens.map(({ sent }) => sent)))
    }
  )

  t.test(
    'a listen whose actionHook is on another server ends and is not handed over',
    { buffered: true },
    async (t) => {
      const elsewhere = createServer((request, response) => {
        response.setHeader('content-type', 'application/json').end('[]')
      })
      await once(elsewhere.listen(0, '127.0.0.1'), 'listening')
      t.teardown(() => elsewhere.close())
      const {
        a,
        lead,
        b,
        call: dial
      } = await two(t, redis, [
        { verb: 'listen', actionHook: `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/` }
      ])
      const call = dial()
      await call.waitFor('listen:open')
      lead(b)
      let waits = 0
      const waitFor = a.store.waitFor.bind(a.store)
      a.store.waitFor = (...args) => {
        waits++
        return waitFor(...args)
      }
      await a.app.jambonz.drain(0, { handover: true })
      t.match(a.ended, [{ endReason: 'drained' }])
      t.equal(waits, 0, 'the drain does not wait for the hook')
      t.equal((await call).listens.length, 1)
    }
  )

  t.test('if the caller hangs up during a handover, the listen ends', { buffered: true }, async (t) => {
    t.test('the handler runs if the caller hangs up before the hook', async (t) => {
      const { a, b, lead, call: dial } = await two(t, redis, [{ verb: 'listen', actionHook: '/done' }])
      const call = dial().once('listen:close', () => call.hangUp())
      await call.waitFor('listen:open')
      lead(b)
      await a.app.jambonz.drain(0, { handover: true })
      t.equal((await call).listens.length, 1)
      t.match(b.hooks, [{ state: 'ended', endReason: 'drained', recording: { durationMs: Number } }])
      t.match([a.ended.length, b.ended.length, b.recordings.length], [0, 1, 1])
    })

    t.test('if the caller hangs up after the hook, the end of the call ends the listen', async (t) => {
      const { a, b, lead, call: dial } = await two(t, redis, [{ verb: 'listen', actionHook: '/done' }])
      const call = dial().once('hook', () => call.hangUp())
      await call.waitFor('listen:open')
      lead(b)
      const over = once(b.app.jambonz.calls.events, 'callEnded')
      await a.app.jambonz.drain(0, { handover: true })
      await call
      const [ended] = (await over) as [Call]
      t.match(ended.listens, [{ state: 'ended', endReason: 'drained' }])
      t.match([b.hooks.length, b.ended.length, b.recordings.length], [0, 1, 1])
    })
  })

  t.test(
    'a background listen is handed over also if its call begins to listen in the foreground only during the drain',
    { buffered: true },
    async (t) => {
      const { a, b, lead, call: dial } = await two(t, redis, beside({ verb: 'pause', length: 1 }))
      const call = dial()
      await until(() => open(call).length === 1, 'the background socket')
      lead(b)
      await a.app.jambonz.drain(10_000, { handover: true })
      await until(
        () => call.listens.length === 4 && open(call).length === 2,
        'the next sockets of both listens'
      )
      await heardOf(call, 200)
      call.hangUp()
      const story = await call
      await until(() => b.ended.length === 2, 'both ends')
      t.strictSame(a.ended, [])
      t.match(
        b.ended.map(({ endReason }) => endReason),
        ['closed', 'closed']
      )
      wholeInTwo(t, b, story)
    }
  )

  for (const { answers, actionHook, follows } of [
    { answers: 'no verbs', actionHook: '/done', follows: { verb: 'pause', length: 5 } },
    { answers: 'verbs', actionHook: '/next', follows: { verb: 'listen' } },
    { answers: 'no verbs with status 204', actionHook: '/noContent', follows: { verb: 'pause', length: 5 } },
    { answers: 'an empty body', actionHook: '/empty', follows: { verb: 'pause', length: 5 } },
    { answers: 'JSON as text', actionHook: '/json', follows: { verb: 'hangup' } }
  ]) {
    t.test(
      `if a key ends the foreground listen during a handover, the background listen continues, also if the handler answers ${answers}`,
      { buffered: true },
      async (t) => {
        const { a, b } = await two(t, redis, [
          { verb: 'config', listen: { enable: true } },
          { verb: 'listen', actionHook, finishOnKey: '#' },
          { verb: 'pause', length: 5 }
        ])
        const payload = callWebhook()
        const asked = await a.app.inject({ method: 'POST', url: '/call', payload })
        const [config, foreground] = asked.json<[{ listen: SentListen }, SentListen]>()
        for (const { url, metadata } of [config.listen, foreground]) {
          const streams = once(a.app.jambonz.calls.events, 'stream')
          const socket = await openSocket(`http://127.0.0.1:${a.port}${url}`, {
            headers: basic(AUTH.username, AUTH.password)
          })
          socket.on('message', () => socket.close(1000))
          socket.send(
            JSON.stringify({ callSid: payload.call_sid, sampleRate: 8000, mixType: 'mono', ...metadata })
          )
          socket.send(ramp(200))
          await streams
        }
        const drained = a.app.jambonz.drain(0, { handover: true })
        // jambonz has seen the key before it has seen that the socket closes.
        const hook = await b.app.inject({
          method: 'POST',
          url: foreground.actionHook,
          payload: { ...payload, call_status: 'in-progress', dial_call_duration: 0, digits: '#' }
        })
        await drained
        t.equal(hook.statusCode, 200)
        const [again, next] = hook.json<[{ listen: SentListen }, object]>()
        t.match([again, next], [{ verb: 'config', listen: { enable: true, wsAuth: AUTH } }, follows])
        t.equal(hook.json<object[]>().length, 2)
        t.match(b.ended, [{ id: foreground.metadata.jambonzListenId, endReason: 'finishOnKey' }])
        if (answers === 'no verbs') t.match(b.hooks, [{ endReason: 'finishOnKey', digits: '#' }])

        const streams = once(b.app.jambonz.calls.events, 'stream') as Promise<[AudioStream]>
        const socket = await openSocket(`http://127.0.0.1:${b.port}${again.listen.url}`, {
          headers: basic(AUTH.username, AUTH.password)
        })
        socket.send(
          JSON.stringify({
            callSid: payload.call_sid,
            sampleRate: 8000,
            mixType: 'mono',
            ...again.listen.metadata
          })
        )
        socket.send(ramp(200))
        t.match((await streams)[0].listen, { id: config.listen.metadata.jambonzListenId, segments: [{}] })
        socket.close(1000)
        await until(() => b.ended.length === 2, 'the end of the background listen')
        t.match(b.ended[1], { nested: 'config', endReason: 'closed', recording: { segments: [{}, {}] } })
      }
    )
  }

  t.test(
    'each listen that waits for its next socket is watched by an instance, which ends it if no socket comes',
    { buffered: true },
    async (t) => {
      const watchers = async ({ app }: Instance, { callSid }: SimulatedCall): Promise<unknown[]> =>
        ((await app.jambonz.calls.get(callSid))?.listens ?? []).map(
          (listen) => 'watcher' in listen && listen.watcher
        )
      const { a, b, lead, call: dial } = await two(t, redis, beside())
      // Without a statusHook, nothing else reports that the caller has hung up.
      const [gone, unanswered] = [dial({ statusHook: undefined }), dial({ statusHook: undefined })]
      gone.once('hook', () => gone.hangUp())
      await until(
        () => open(gone).length === 2 && open(unanswered).length === 2,
        'both sockets of both calls'
      )
      b.before = async ({ url }) => {
        const isHook = url.startsWith(`/done?listen=${unanswered.callSid.replaceAll('-', '')}`)
        if (isHook) await noneReached()
      }
      lead(b)
      await a.app.jambonz.drain(0, { handover: true })
      const [as, bs] = [a, b].map(({ app }) => [app.jambonz.instance, app.jambonz.instance])
      await gone
      t.strictSame(await watchers(b, gone), bs, 'after its hook')
      t.strictSame(await watchers(b, unanswered), as, 'before its hook')
      await a.app.close()
      await until(async () => String(await watchers(b, unanswered)) === String(bs), 'the next watcher')
      await unanswered
    }
  )

  t.test(
    'the recording is reported if jambonz sends nothing on the last socket of a listen',
    { buffered: true },
    async (t) => {
      const { a, b } = await two(t, redis, [{ verb: 'listen', actionHook: '/done' }])
      const asked = await askForListen(a.app, '/call', `http://127.0.0.1:${a.port}`)
      const headers = basic(AUTH.username, AUTH.password)
      const socket = await asked.open({ headers })
      socket.on('message', () => socket.close(1000))
      const streams = once(a.app.jambonz.calls.events, 'stream')
      socket.send(asked.metadata())
      socket.send(ramp(200))
      await streams
      const drained = a.app.jambonz.drain(0, { handover: true })
      await once(socket, 'close')
      const [again] = (await asked.hook({ dial_call_duration: 1 }, b.app)) as [{ url: string }]
      await openSocket(`http://127.0.0.1:${b.port}${again.url}`, { headers })
      await asked.hook({ dial_call_duration: 0 }, b.app)
      await until(() => b.ended.length === 1, 'the end of the listen')
      t.match(b.recordings, [{ durationMs: 200 }])
      await drained
    }
  )

  t.test(
    'if a draining instance refuses a socket, jambonz is asked to open another',
    { buffered: true },
    async (t) => {
      const { a, b, lead, call: dial } = await two(t, redis, [{ verb: 'listen', actionHook: '/done' }])
      await a.app.jambonz.drain(0, { handover: true })
      const call = dial().once('listen:refused', () => lead(b))
      await call.waitFor('listen:open')
      call.hangUp()
      const { listens } = await call
      t.match(
        listens.map(({ refused }) => refused?.status),
        [503, undefined]
      )
      t.match(b.hooks, [{ endReason: 'closed', offers: 1, refused: false, segments: undefined }])
      t.strictSame(
        a.lines.filter(({ level }) => level > INFO),
        [],
        'the refusal is no error, since the listen goes on elsewhere'
      )
    }
  )

  t.test(
    'if the next socket of a listen reaches no instance, jambonz is asked for it again at once',
    { buffered: true },
    async (t) => {
      const { a, b, lead, call: dial } = await two(t, redis, [{ verb: 'listen', actionHook: '/done' }])
      const call = dial()
      await call.waitFor('listen:open')
      await heardOf(call, 200)
      const inVain = waitsInVain(b)
      let sockets = 0
      b.before = async ({ url }) => {
        if (url.startsWith('/audio') && sockets++ < 2) await noneReached()
      }
      lead(b)
      await a.app.jambonz.drain(0, { handover: true })
      await until(() => open(call).length === 1, 'the next socket')
      call.hangUp()
      await call
      await until(() => b.ended.length === 1, 'the end of the listen')
      t.strictSame([sockets, inVain], [3, []])
      t.match(b.ended, [{ endReason: 'closed', segments: [{}, {}] }])
    }
  )

  for (const [role, status] of [
    ['background', 503],
    ['listen', 503],
    ['background', 502],
    ['listen', 502]
  ] as const) {
    t.test(
      status === 503
        ? `if a draining instance refuses only the ${role} socket of a call, both listens continue`
        : `if only the ${role} socket of a call reaches no instance, both listens continue`,
      { buffered: true },
      async (t) => {
        const { a, b, lead, call: dial } = await two(t, redis, beside())
        const call = dial()
        await until(() => open(call).length === 2, 'both sockets')
        await heardOf(call, 200)
        const { metadata } = call.listens.find((listen) => listen.role === role) ?? {}
        const { jambonzListenId } = metadata as { jambonzListenId: string }
        let refused = 0
        let hooks = 0
        const inVain = waitsInVain(b)
        // The load balancer sends the next socket of one listen to the draining instance, or to one that has just stopped,
        // twice. The next socket of the background listen comes only after the hook that this causes.
        b.before = async (request) => {
          if (request.url.startsWith('/done')) hooks++
          if (request.url.includes(`/${jambonzListenId}.`)) {
            if (refused++ < 2) await (status === 503 ? refusedBy(a, request) : noneReached())
          } else if (role === 'listen' && request.url.startsWith('/audio')) {
            await until(() => hooks > 1, 'the hook of the refused listen')
          }
        }
        lead(b)
        await a.app.jambonz.drain(5_000, { handover: true })
        await until(() => refused > 2 && open(call).length === 2, 'the next sockets of both listens')
        await heardOf(call, 300)
        call.press('#')
        await call.waitFor('verb', ({ verb }) => verb === 'pause')
        call.hangUp()
        const { listens, requests } = await call
        t.equal(
          replies(requests).filter(([first]) => first?.verb === 'config').length,
          role === 'background' ? 3 : 1,
          'the background listen is asked for again only if its socket was refused'
        )
        t.match(
          listens.flatMap(({ refused }) => refused?.status ?? []),
          [status, status],
          'no other socket was refused'
        )
        t.strictSame(inVain, [], 'no hook waited for a socket that did not come')
        await until(() => b.ended.length === 2, 'both ends')
        t.match(b.hooks, [{ state: 'ended', endReason: 'finishOnKey' }], 'the handler ran once, at the end')
        t.strictSame(
          b.ended.map(({ nested, endReason }) => [nested, endReason]).sort(),
          [
            [undefined, 'finishOnKey'],
            ['config', 'closed']
          ].sort()
        )
      }
    )
  }

  t.test(
    'if every instance refuses the socket of a listen, the listen ends and its handler is called',
    { buffered: true },
    async (t) => {
      const { a, call: dial } = await two(t, redis, [
        { verb: 'listen', actionHook: '/done' },
        { verb: 'hangup' }
      ])
      await a.app.jambonz.drain(0, { handover: true })
      const { listens, requests } = await dial()
      t.ok(
        listens.length > 5 && listens.every(({ refused }) => refused?.status === 503),
        `${listens.length} sockets`
      )
      t.ok(requests.every(({ latencyMs }) => latencyMs < 2_000))
      t.match(a.hooks, [{ state: 'ended', connected: false, endReason: 'notConnected' }])
      t.equal(a.ended.length, 1)
    }
  )

  t.test(
    'without handover, drain resolves once the hooks of the ended listens are answered',
    { buffered: true },
    async (t) => {
      const { a, call: dial } = await two(t, redis, [
        { verb: 'listen', actionHook: '/done' },
        { verb: 'hangup' }
      ])
      const call = dial()
      await call.waitFor('listen:open')
      t.equal(a.app.jambonz.draining, false)
      await a.app.jambonz.drain()
      t.equal(a.app.jambonz.draining, true)
      t.match(await a.app.jambonz.calls.get(call.callSid), {
        listens: [{ endReason: 'drained', hookedAt: String }]
      })
      t.match(a.hooks, [{ endReason: 'drained' }], 'the actionHook handler has run')
      t.equal(
        (await call).requests.every(({ status }) => status === 200 || status === 204),
        true
      )
      const refused = dial()
      t.match(
        (await refused).listens,
        [{ refused: { status: 503 } }],
        'without handover, a refused socket is not requested again'
      )
      t.match(a.hooks[1], { endReason: 'notConnected' })
    }
  )
})

t.test(
  'stored verbs do not contain our credentials, and verbs with foreign credentials are not stored',
  async (t) => {
    const listen = { verb: 'listen', url: '/audio/x', wsAuth: AUTH, metadata: { jambonzListenId: 'x' } }
    const dialled = {
      verb: 'dial',
      target: [],
      listen: { url: '/audio/y', wsAuth: AUTH, metadata: { jambonzListenId: 'y' } }
    }
    const kept = applicationOf([listen, dialled], AUTH)
    t.strictSame(JSON.parse(kept ?? ''), [
      { verb: 'listen', url: '/audio/x', metadata: { jambonzListenId: 'x' } },
      { verb: 'dial', target: [], listen: { url: '/audio/y', metadata: { jambonzListenId: 'y' } } }
    ])
    const call = { application: kept, listens: [] as Listen[] } as unknown as StoredCall
    t.strictSame(
      verbsToGoOn(call, { id: 'x', audio: { durationMs: 0, gapMs: 0 } } as Listen, AUTH),
      [listen, dialled],
      'our credentials are added again'
    )
    t.equal(applicationOf([dialled], AUTH), undefined, 'without a foreground listen, nothing is stored')
    t.equal(applicationOf([listen], { username: 'other', password: 'other' }), undefined)
    t.equal(
      applicationOf([listen, { verb: 'message', auth: { username: 'a', password: 'b' } }], AUTH),
      undefined
    )
    t.equal(
      applicationOf([listen, { verb: 'say', text: 'x'.repeat(40_000) }], AUTH),
      undefined,
      'verbs that are too long are not stored'
    )
  }
)

t.test('a handed-over listen may last for the rest of its maxLength', async (t) => {
  const verbs = [{ verb: 'listen', playBeep: true, maxLength: 10, metadata: { jambonzListenId: 'x' } }]
  const after = (durationMs: number, gapMs: number): unknown =>
    verbsToGoOn(
      { application: JSON.stringify(verbs), listens: [] as Listen[] } as unknown as StoredCall,
      { id: 'x', maxLength: 10, audio: { durationMs, gapMs } } as Listen,
      undefined
    )
  t.match(after(3_900, 0), [{ maxLength: 7 }])
  t.match(after(9_000, 500), [{ maxLength: 1 }])
  t.equal(after(9_000, 1_000), undefined, 'no rest: the listen is over')
})

t.test(
  'the counts of a listen include the audio of all its sockets, and the gaps between the sockets',
  async (t) => {
    const audio = { frames: 50, bytes: 16_000, durationMs: 1_000, gapMs: 40, maxGapMs: 30 }
    const at = (second: number): string => new Date(second * 1_000).toISOString()
    const listen = { audio: { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 } } as Listen
    const first = withSegment(listen, { instance: 'a', startedAt: at(1), endedAt: at(2), audio })
    t.match(first, { audio, segments: [{ instance: 'a' }] })
    const second = withSegment(
      { ...listen, ...first },
      { instance: 'b', startedAt: at(2.3), endedAt: at(3.3), audio }
    )
    t.match(second.audio, { frames: 100, bytes: 32_000, durationMs: 2_000, gapMs: 380, maxGapMs: 300 })
    t.match(second.segments, [{ instance: 'a' }, { instance: 'b' }])
  }
)

t.test('a listen is handed over only if its actionHook is one of this plugin', async (t) => {
  const verb = { verb: 'listen', url: '/audio/x', actionHook: '/done', metadata: { jambonzListenId: 'x' } }
  const application = JSON.stringify([verb])
  for (const foreignHook of [undefined, true]) {
    const listen = { id: 'x', state: 'streaming', audio: { durationMs: 0, gapMs: 0 }, foreignHook }
    const call = { application, listens: [listen] } as unknown as StoredCall
    t.strictSame(goingOn(call), foreignHook ? [] : ['x'])
  }
})
