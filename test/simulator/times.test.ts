import t, { type Test } from 'tap'
import type { WebSocket } from 'ws'
import {
  simulateCall,
  type CallStory,
  type SimulateCallOptions,
  type SimulatedCall,
  type Track
} from '../../lib/simulator/index.js'
import { application, ramp } from './peers.js'

// Compares times on the clock of the call with the times that were measured on the real media server.

const SOUND = ramp(8_000, 1_000)
const NEXT = ramp(8_000, 12_000)
const streaming = { bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8_000 } }
const send = (socket: WebSocket, message: unknown) => socket.send(JSON.stringify(message))
const play = (pcm: Buffer, data: object = {}) => ({
  type: 'playAudio',
  data: { audioContentType: 'raw', sampleRate: 8_000, audioContent: pcm.toString('base64'), ...data }
})

interface Timed {
  story: CallStory
  /** The messages of the server by type, in order. `atMs`: time at which the message arrived at jambonz. */
  arrived: Array<{ type: string; atMs: number }>
  done: Array<{ id: unknown; atMs: number }>
}

// Makes a call whose clock stops while the server reacts to playDone. So the reaction takes no time of the
// call.
async function timed(
  t: Test,
  verb: object,
  onMessage: (socket: WebSocket, message: { text: string; binary: boolean; count: number }) => void,
  options: Partial<SimulateCallOptions> = {}
): Promise<Timed> {
  const app = await application(t, { '/in': [{ verb: 'listen', url: '/audio', ...verb }] }, (socket) => {
    let count = 0
    socket.on('message', (data, binary) => {
      if (binary) count++
      onMessage(socket, { text: binary ? '' : String(data as Buffer), binary, count })
    })
  })
  const arrived: Timed['arrived'] = []
  const done: Timed['done'] = []
  const call: SimulatedCall = simulateCall({
    url: app.url('/in'),
    speech: null,
    ...options,
    onEvent: ({ name, payload, atMs }) => {
      if (name === 'message') {
        arrived.push({ type: String((payload.message as { type?: string }).type), atMs })
      }
      if (name === 'playDone') {
        done.push({ id: payload.data.id, atMs })
        react(call)
      }
    }
  })
  return { story: await call, arrived, done }
}

// Stops the clock for 50 turns of the event loop. In this time, a peer in the same process receives a message
// and answers it.
function react(call: SimulatedCall): void {
  const go = call.hold()
  let turns = 50
  const wait = () => (turns-- > 0 ? setImmediate(wait) : go())
  wait()
}

function heardAt(track: Track, sample: number): number {
  const { pcm, sampleRate, startedAtMs } = track
  for (let at = 0; at < pcm.length; at += 2) {
    if (pcm.readInt16LE(at) === sample) return startedAtMs + (at * 1_000) / (2 * sampleRate)
  }
  return NaN
}

const between = (t: Test, value: number, low: number, high: number, what: string) =>
  t.ok(value >= low && value <= high, `${what}: ${value} ms`)

t.test(
  'a file is heard 75 to 95 ms after playAudio, and playDone arrives 60 to 110 ms after the end of the file',
  async (t) => {
    const { story, arrived, done } = await timed(t, {}, (socket, { count }) => {
      if (count === 5) send(socket, play(SOUND, { id: 'a' }))
    })
    between(t, heardAt(story.heard, 1_000) - arrived[0]!.atMs, 75, 95, 'start')
    between(t, done[0]!.atMs - heardAt(story.heard, 8_999), 60, 110, 'playDone')
    t.match(story.listens[0]!.playDone, [
      { id: 'a', playbackSeconds: '1', playbackMilliseconds: '1000', playbackLastOffsetPos: '8000' }
    ])
  }
)

t.test('between two queued files there are 60 to 80 ms of silence', async (t) => {
  for (const length of [8_000, 7_900]) {
    const { story } = await timed(t, {}, (socket, { count }) => {
      if (count !== 5) return
      send(socket, play(SOUND.subarray(0, length * 2), { queuePlay: true }))
      send(socket, play(NEXT, { queuePlay: true }))
    })
    const gap = heardAt(story.heard, 12_000) - heardAt(story.heard, 999 + length)
    between(t, gap, 60, 80.2, `gap after ${length} samples`)
  }
})

t.test(
  'killAudio takes effect after 10 to 30 ms; playDone follows 100 ms later, after 80 ms of the next file',
  async (t) => {
    let kills = 0
    const { story, arrived, done } = await timed(t, {}, (socket, { text, count, binary }) => {
      if (binary && count === 5) {
        send(socket, play(SOUND, { id: 'a', queuePlay: true }))
        send(socket, play(NEXT, { id: 'b', queuePlay: true }))
      }
      if ((binary && count === 30) || (text.includes('playDone') && kills === 1)) {
        kills++
        send(socket, { type: 'killAudio' })
      }
    })
    const killedAt = arrived.filter(({ type }) => type === 'killAudio').map(({ atMs }) => atMs)
    const [first, second] = story.listens[0]!.playDone
    const end = heardAt(story.heard, 1_000) + Number(first!.playbackLastOffsetPos) / 8
    between(t, end - killedAt[0]!, 10, 30, 'still heard')
    between(t, done[0]!.atMs - killedAt[0]!, 95, 105, 'playDone')
    between(t, Number(second!.playbackLastOffsetPos) / 8, 60, 100, 'ms of the next file')
    t.ok(story.heard.pcm.subarray(-1_600).every((byte) => byte === 0))
  }
)

t.test(
  "in playDone of a stopped file, ms are rounded to steps of 2,048; the offset counts samples at the call's rate",
  async (t) => {
    for (const [frames, sampleRate, ms] of [
      [50, 8_000, '2048'],
      [150, 8_000, '4096'],
      [150, 16_000, '3000'],
      [220, 8_000, '5000']
    ] as const) {
      const seconds = ms === '3000' ? 3.2 : 5
      const pcm = Buffer.alloc(seconds * sampleRate * 2, 1)
      const { story } = await timed(t, {}, (socket, { count, binary }) => {
        if (!binary) return
        if (count === 1) send(socket, play(pcm, { sampleRate }))
        if (count === frames) send(socket, { type: 'killAudio' })
      })
      const [done] = story.listens[0]!.playDone
      const heard = story.heard.pcm.filter((byte) => byte !== 0).length / 2
      t.equal(done!.playbackMilliseconds, ms === '3000' ? '3200' : ms)
      t.ok(Math.abs(Number(done!.playbackLastOffsetPos) - heard) < 40, done!.playbackLastOffsetPos)
    }
  }
)

t.test(
  'a mark between two pieces of audio is reported 25 to 45 ms after the first piece was heard',
  async (t) => {
    const { story } = await timed(t, streaming, (socket, { count }) => {
      if (count !== 5) return
      socket.send(ramp(2_000))
      send(socket, { type: 'mark', data: { name: 'middle' } })
      socket.send(ramp(2_000, 3_000))
    })
    const [mark] = story.listens[0]!.marks
    between(t, mark!.atMs - heardAt(story.heard, 3_000), 25, 45, 'report')
  }
)

t.test('a key is reported with its duration, and the caller is muted while the key is down', async (t) => {
  const speech = { pcm: ramp(24_000), sampleRate: 8_000 }
  for (const [press, duration, mutedFrames] of [
    [{ digits: '5', atMs: 1_000 }, '800', 10],
    [{ digits: '5', atMs: 1_000, holdMs: 250 }, '2000', 18]
  ] as const) {
    const { story } = await timed(t, { passDtmf: true }, () => {}, { speech, press })
    const [listen] = story.listens
    t.match(listen!.sent.texts[1], `"duration":"${duration}"`)
    const pcm = listen!.sent.pcm!.subarray(0, 24_000 * 2)
    let silent = 0
    for (let at = 0; at < pcm.length; at += 320) {
      if (pcm.subarray(at, at + 320).every((byte) => byte === 0)) silent++
    }
    t.equal(silent, mutedFrames)
    t.ok(
      pcm.subarray(-320).equals(speech.pcm.subarray(-320)),
      'the speech during the key is lost, not delayed'
    )
  }
})

t.test('an upgrade of 3 s loses 2 s of audio without resampling, and none with resampling', async (t) => {
  const speech = { pcm: ramp(28_000), sampleRate: 8_000 }
  for (const [sampleRate, lostMs] of [
    [8_000, 2_001],
    [16_000, 0]
  ] as const) {
    const { story } = await timed(t, { sampleRate }, () => {}, { speech, faults: { slowUpgradeMs: 3_000 } })
    const [listen] = story.listens
    t.equal(listen!.lostMs, lostMs)
    const sentMs = (listen!.sent.bytes * 1_000) / (2 * sampleRate)
    t.equal(Math.round(sentMs + lostMs), Math.round(listen!.closedAtMs! - listen!.sent.startedAtMs! + 20))
  }
})
