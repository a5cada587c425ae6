import t, { type Test } from 'tap'
import type { WebSocket } from 'ws'
import {
  simulateCall,
  type CallStory,
  type SimulateCallOptions,
  type Track
} from '../../lib/simulator/index.js'
import { application, ramp, type Route } from './peers.js'

// A fork is the audio socket of one listen. Several forks on one call must behave as measured on a real
// FreeSWITCH with jambonz' feature server 0.9.8.

const AGENT = ramp(1_600, 10_000)
const OTHER_AGENT = ramp(1_600, 20_000)
const streaming = { bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8_000 } }
const quiet = { bidirectionalAudio: { enabled: false } }
const send = (socket: WebSocket, message: unknown) => socket.send(JSON.stringify(message))
const playAudio = (pcm: Buffer, data: object = {}) => ({
  type: 'playAudio',
  data: { audioContentType: 'raw', sampleRate: 8_000, audioContent: pcm.toString('base64'), ...data }
})

type Peers = Record<string, (socket: WebSocket) => void>

// Starts an application and calls it. Each path of `peers` is an audio socket; the function of a path runs at
// the socket's first message.
async function calling(
  t: Test,
  verbs: unknown[],
  peers: Peers,
  options: Partial<SimulateCallOptions> = {},
  routes: Record<string, Route> = {}
) {
  const app = await application(
    t,
    { '/in': verbs, '/done': [], '/other': [], ...routes },
    (socket, request) => {
      socket.once('message', () => peers[request.url!]?.(socket))
    }
  )
  return { app, call: simulateCall({ url: app.url('/in'), speech: null, ...options }) }
}

const background = (data: object = {}) => ({
  verb: 'config',
  listen: { enable: true, url: '/background', mixType: 'stereo', ...data }
})
const foreground = (data: object = {}) => ({
  verb: 'listen',
  url: '/foreground',
  mixType: 'stereo',
  actionHook: '/done',
  ...data
})
const streams =
  (pcm: Buffer): ((socket: WebSocket) => void) =>
  (socket) =>
    socket.send(pcm)

function rightOf(pcm: Buffer): Buffer {
  const right = Buffer.alloc(pcm.length / 2)
  for (let at = 0; at < right.length; at += 2) pcm.copy(right, at, 2 * at + 2, 2 * at + 4)
  return right
}

const listenOf = (story: CallStory, path: string) => story.listens.find(({ url }) => url.endsWith(path))!
const sentRight = (story: CallStory, path: string) => rightOf(listenOf(story, path).sent.pcm!)
const isSilent = (pcm: Buffer) => pcm.every((byte) => byte === 0)

// Returns the time in ms, on the clock of the call, at which `pcm` begins in a track; NaN if the track does
// not contain it.
function timeOf(track: Track, pcm: Buffer): number {
  const at = track.pcm.indexOf(pcm)
  return at === -1 ? NaN : track.startedAtMs + (at * 1_000) / (2 * track.sampleRate)
}

t.test(
  'the caller hears the audio that a fork streams; this fork and earlier forks do not receive the audio',
  async (t) => {
    for (const mixType of ['stereo', 'mixed', 'mono']) {
      const { call } = await calling(t, [background({ mixType }), foreground({ ...streaming, mixType })], {
        '/foreground': streams(AGENT)
      })
      const story = await call
      t.strictSame(story.errors, [])
      t.ok(story.heard.pcm.includes(AGENT), 'the caller heard it')
      for (const path of ['/foreground', '/background']) {
        t.ok(isSilent(listenOf(story, path).sent.pcm!), `${mixType} ${path}`)
        t.ok(isSilent(listenOf(story, path).right!.pcm))
      }
      t.equal(timeOf(listenOf(story, '/foreground').output!, AGENT), timeOf(story.heard, AGENT))
      t.ok(isSilent(listenOf(story, '/background').output!.pcm))
    }
  }
)

t.test(
  "a fork that started later receives a fork's streamed audio at the sample at which the caller hears it",
  async (t) => {
    const { call } = await calling(t, [background(streaming), foreground()], {
      '/background': (socket) =>
        socket.on(
          'message',
          once(() => socket.send(AGENT), 10)
        )
    })
    const story = await call
    const { startedAtMs } = listenOf(story, '/foreground').sent
    const right = { pcm: sentRight(story, '/foreground'), sampleRate: 8_000, startedAtMs: startedAtMs! }
    t.ok(timeOf(story.heard, AGENT) > 0)
    t.equal(timeOf(right, AGENT), timeOf(story.heard, AGENT))
    t.equal(timeOf(listenOf(story, '/foreground').right!, AGENT), timeOf(story.heard, AGENT))
    t.ok(isSilent(sentRight(story, '/background')))
  }
)

t.test(
  'if two forks stream, the second receives the audio of the first, and the caller hears both',
  async (t) => {
    const { call } = await calling(t, [background(streaming), foreground(streaming)], {
      '/background': (socket) =>
        socket.on(
          'message',
          once(() => socket.send(AGENT), 10)
        ),
      '/foreground': streams(OTHER_AGENT)
    })
    const story = await call
    const second = sentRight(story, '/foreground')
    t.ok(isSilent(sentRight(story, '/background')))
    t.ok(second.includes(AGENT))
    t.equal(second.findIndex((byte) => byte !== 0) >> 1, second.indexOf(AGENT) >> 1)
    const [first, other] = ['/background', '/foreground'].map((path) => listenOf(story, path).output!)
    for (let sample = 0; sample < story.heard.pcm.length / 2; sample++) {
      const sum = sampleAt(first!, story, sample) + sampleAt(other!, story, sample)
      if (story.heard.pcm.readInt16LE(sample * 2) !== sum) return t.fail(`sample ${sample}`)
    }
  }
)

t.test('every fork receives played files, even a fork that started before', async (t) => {
  const { call } = await calling(t, [background(quiet), foreground()], {
    '/foreground': (socket) => send(socket, playAudio(AGENT))
  })
  const story = await call
  for (const path of ['/background', '/foreground']) {
    const { startedAtMs } = listenOf(story, path).sent
    const right = { pcm: sentRight(story, path), sampleRate: 8_000, startedAtMs: startedAtMs! }
    t.equal(timeOf(right, AGENT), timeOf(story.heard, AGENT), path)
  }
  t.ok(listenOf(story, '/foreground').output!.pcm.includes(AGENT))
  t.ok(isSilent(listenOf(story, '/background').output!.pcm))
})

t.test('with includeStream, every fork receives all streamed audio, including its own', async (t) => {
  const { call } = await calling(
    t,
    [background(), foreground(streaming)],
    { '/foreground': streams(AGENT) },
    { includeStream: true }
  )
  const story = await call
  t.ok(sentRight(story, '/background').includes(AGENT))
  t.ok(sentRight(story, '/foreground').includes(AGENT))
})

t.test('when the server ends one socket of a call, all listens of the call end within 80 ms', async (t) => {
  for (const [ending, other] of [
    ['/foreground', '/background'],
    ['/background', '/foreground']
  ] as const) {
    for (const end of [
      (socket: WebSocket) => socket.close(1000),
      (socket: WebSocket) => socket.close(4_001, 'enough'),
      (socket: WebSocket) => socket.terminate(),
      (socket: WebSocket) => send(socket, { type: 'disconnect' })
    ]) {
      const { app, call } = await calling(
        t,
        [background({ actionHook: '/other' }), foreground(), { verb: 'pause', length: 1 }],
        {
          [ending]: (socket) =>
            socket.on(
              'message',
              once(() => end(socket), 10)
            )
        },
        { configListenHook: true, hangUpAfterMs: 3_000 }
      )
      const story = await call
      const gap = listenOf(story, other).closedAtMs! - listenOf(story, ending).closedAtMs!
      t.ok(gap > 0 && gap <= 80, `${gap} ms`)
      t.match(listenOf(story, other), { closedBy: 'jambonz', closeCode: 1000 })
      t.strictSame([app.at('/done').length, app.at('/other').length], [1, 1])
    }
  }
})

t.test('if jambonz ends a listen, or the server does on jambonz 11, only this listen ends', async (t) => {
  for (const [verb, options, peers] of [
    [{ maxLength: 1 }, {}, {}],
    [{ finishOnKey: '#' }, { press: '#@1s' }, {}],
    [{}, { platform: '11' }, { '/foreground': (socket: WebSocket) => socket.close(1000) }]
  ] as Array<[object, Partial<SimulateCallOptions>, Peers]>) {
    const { call } = await calling(
      t,
      [background(), foreground(verb), { verb: 'pause', length: 2 }],
      peers,
      options
    )
    const story = await call
    const [first, second] = [listenOf(story, '/background'), listenOf(story, '/foreground')]
    t.ok(first.closedAtMs! - second.closedAtMs! >= 1_900)
    t.equal(first.closedBy, 'jambonz')
  }
})

t.test(
  'if one listen gets an error or a refusal, the verbs of the other listens end, but their forks continue',
  async (t) => {
    for (const end of ['error', 'refusal']) {
      const verbs = [
        foreground({ url: end === 'refusal' ? 'ws://127.0.0.1:1/' : '/foreground' }),
        { verb: 'pause', length: 1 }
      ]
      const { call } = await calling(t, [background(), ...verbs], {
        '/foreground': (socket) => send(socket, { type: 'error', data: {} })
      })
      const story = await call
      const { closedAtMs } = listenOf(story, '/background')
      t.ok(closedAtMs! >= 1_000, 'the socket of the other listen stays open until the call ends')
      t.equal(story.verbs.at(-1)!.verb, 'pause')
    }
  }
)

t.test('a file is played once for each listen with bidirectional audio', async (t) => {
  const files = (socket: WebSocket) => {
    send(socket, playAudio(AGENT, { id: 1, queuePlay: true }))
    send(socket, playAudio(OTHER_AGENT, { id: 2, queuePlay: true }))
  }
  const heard = async (data: object, options: Partial<SimulateCallOptions> = {}) => {
    const { call } = await calling(t, [background(data), foreground()], { '/foreground': files }, options)
    const story = await call
    t.strictSame(
      story.listens.map(({ playDone }) => playDone.map(({ id }) => id)),
      Object.keys(data).length > 0 || options.platform === '11'
        ? [[], [1, 2]]
        : [
            [1, 2],
            [1, 2]
          ]
    )
    return order(story.heard.pcm)
  }
  t.strictSame(await heard({}), [1, 2, 1, 2])
  t.strictSame(await heard(quiet), [1, 2])
  t.strictSame(await heard({ disableBidirectionalAudio: true }), [1, 2])
  t.strictSame(await heard({}, { platform: '11' }), [1, 2])
})

// Returns the numbers of the two agents' ramps in the order in which the ramps end in `pcm`.
function order(pcm: Buffer): number[] {
  const found: number[] = []
  for (let at = 0; at < pcm.length; at += 2) {
    if (pcm.readInt16LE(at) === 11_599) found.push(1)
    if (pcm.readInt16LE(at) === 21_599) found.push(2)
  }
  return found
}

function sampleAt(track: Track, story: CallStory, sample: number): number {
  const at = sample - ((track.startedAtMs - story.heard.startedAtMs) * 8_000) / 1_000
  return at < 0 || 2 * at >= track.pcm.length ? 0 : track.pcm.readInt16LE(2 * at)
}

function once(run: () => void, afterCalls: number): () => void {
  let calls = 0
  return () => {
    if (++calls === afterCalls) run()
  }
}
