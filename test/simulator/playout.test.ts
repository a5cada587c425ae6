import t, { type Test } from 'tap'
import type { WebSocket } from 'ws'
import { StreamingPlayout } from '../../lib/simulator/fork/playout.js'
import { simulateCall, wavOf, type CallStory, type SimulateCallOptions } from '../../lib/simulator/index.js'
import { application, ramp } from './peers.js'

const FRAME = 160

// Returns a playout that renders a frame whenever the test calls `render()`, the samples that the caller
// heard, and the reports of marks.
function player(rate = 8_000) {
  const reports: string[] = []
  const heard: number[] = []
  const playout = new StreamingPlayout(rate, 8_000, (name, event) =>
    reports.push(`${name}:${event}@${heard.length}`)
  )
  const render = (frames: number) => {
    for (let i = 0; i < frames; i++) {
      const frame = new Int16Array(FRAME)
      playout.render(frame)
      heard.push(...frame)
    }
  }
  const audible = () => heard.filter((sample) => sample !== 0)
  return { playout, render, audible, reports, heard }
}

t.test(
  'playout begins at 1280 samples and continues in steps of 640; a shorter rest stays in the prebuffer',
  async (t) => {
    const played = (...sizes: number[]) => {
      const { playout, render, audible } = player()
      let at = 1
      for (const size of sizes) {
        playout.binary(ramp(size, at))
        at += size
      }
      render(100)
      return audible().length
    }
    t.equal(played(1_279), 0)
    t.equal(played(1_280), 1_280)
    t.equal(played(1_280, 639), 1_280)
    t.equal(played(1_280, 640), 1_920)
    t.equal(played(...Array.from({ length: 25 }, () => 160)), 3_840, '4000 samples in frames of 20 ms')
    t.equal(played(4_000), 4_000, '4000 samples at once are played completely')
  }
)

t.test('an odd byte at the end of a message is joined with the next message', async (t) => {
  const { playout, render, audible } = player()
  const pcm = ramp(2_000)
  playout.binary(pcm.subarray(0, 1_001))
  playout.binary(pcm.subarray(1_001, 3_000))
  playout.binary(pcm.subarray(3_000))
  render(20)
  t.strictSame(
    audible().slice(0, 1_500),
    Array.from({ length: 1_500 }, (_, i) => i + 1)
  )
})

t.test(
  'a mark between two binary messages is reported when playout reaches it, a last mark when the buffer is empty',
  async (t) => {
    const { playout, render, reports, audible } = player()
    playout.binary(ramp(1_600))
    playout.mark('middle')
    playout.binary(ramp(1_600, 2_000))
    playout.mark('end')
    render(10)
    t.strictSame(reports, [])
    render(1)
    t.strictSame(reports, ['middle:playout@1600'])
    render(20)
    t.strictSame(reports[1]?.split('@')[0], 'end:playout')
    t.equal(audible().length, 3_200, "the mark's sample in the audio is not heard")
  }
)

t.test('without audio, one mark is reported every 20 ms; the 31st waiting mark is dropped', async (t) => {
  const { playout, render, reports } = player()
  const taken = Array.from({ length: 31 }, (_, i) => playout.mark(`m${i}`))
  t.strictSame([taken[29], taken[30]], [true, false])
  render(3)
  t.equal(reports.length, 3)
})

t.test('a sample of -1 is taken for a mark while a mark waits, and is played if no mark waits', async (t) => {
  const eaten = player()
  const pcm = ramp(1_600)
  pcm.writeInt16LE(-1, 100)
  eaten.playout.binary(pcm)
  eaten.render(10)
  t.equal(eaten.audible().length, 1_600)
  const early = player()
  early.playout.mark('m')
  early.playout.binary(ramp(1_280))
  early.playout.mark('late')
  const second = ramp(6_400, 2_000)
  second.writeInt16LE(-1, 20)
  early.playout.binary(second)
  early.render(60)
  t.equal(early.audible().length, 1_280 + 6_399)
  t.strictSame(
    early.reports.map((report) => report.split(':')[0]),
    ['m', 'late'],
    'the mark is reported for its own marker sample, and the sample of -1 is lost'
  )
  const before = player()
  before.playout.binary(pcm)
  before.playout.mark('behind')
  before.playout.binary(ramp(6_400, 2_000))
  before.render(1)
  t.strictSame(
    before.reports,
    ['behind:playout@0'],
    'the mark is reported early, because the sample of -1 came before its marker sample'
  )
})

t.test('killAudio clears the buffer but not the prebuffer, and shifts later marks by one', async (t) => {
  const { playout, render, reports, heard } = player()
  playout.binary(ramp(1_280))
  playout.mark('A')
  playout.binary(ramp(640, 2_000))
  playout.binary(ramp(639, 5_000))
  playout.mark('B')
  render(2)
  playout.killAudio()
  render(1)
  t.strictSame(
    reports.map((report) => report.split('@')[0]),
    ['A:cleared', 'B:cleared']
  )
  const before = heard.length
  playout.binary(ramp(1_280, 9_000))
  render(5)
  t.equal(heard[before], 5_000, 'old samples from the prebuffer play before the next utterance')
  playout.mark('D')
  playout.binary(ramp(1_280, 12_000))
  playout.mark('E')
  playout.binary(ramp(1_280, 14_000))
  render(40)
  t.equal(reports.length, 3)
  t.match(reports[2], /^D:playout/, 'D is reported at the place of E, and E is never reported')
})

t.test('clearMarks reports no mark, and shifts later marks by one', async (t) => {
  const { playout, render, reports } = player()
  playout.mark('A')
  playout.binary(ramp(1_280))
  playout.clearMarks()
  playout.mark('B')
  playout.binary(ramp(1_280, 5_000))
  render(30)
  t.match(
    reports,
    [/^B:playout/],
    'B is reported at its own place, because the marker sample of A came before it'
  )
  const off = player()
  off.playout.mark('A')
  off.playout.clearMarks()
  off.playout.mark('B')
  off.playout.binary(ramp(1_280))
  off.render(30)
  t.strictSame(
    off.reports,
    [],
    'nothing is reported: the marker sample of A was never in the audio, so that of B is taken for it'
  )
})

t.test('the number of samples in a step of playout grows with the sample rate', async (t) => {
  const { playout, render, audible } = player(16_000)
  playout.binary(ramp(2_559))
  render(20)
  t.equal(audible().length, 0)
  playout.binary(ramp(1, 2_560))
  render(20)
  t.ok(audible().length > 1_260 && audible().length <= 1_280)
})

// Makes a call whose server calls `react` at the first message on the audio socket. Resolves to the story of
// the call.
async function answering(
  t: Test,
  verb: object,
  react: (socket: WebSocket) => void,
  options: Partial<SimulateCallOptions> = {}
): Promise<CallStory> {
  const app = await application(t, { '/in': [{ verb: 'listen', url: '/audio', ...verb }] }, (socket) =>
    socket.once('message', () => react(socket))
  )
  return await simulateCall({ url: app.url('/in'), ...options })
}

// Calls `run` when the socket has sent `count` messages of audio, each with 20 ms of the call.
function afterFrames(socket: WebSocket, count: number, run: () => void): void {
  let frames = 0
  socket.on('message', (_data, binary) => {
    if (binary && ++frames === count) run()
  })
}

const streaming = { bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8_000 } }
const send = (socket: WebSocket, message: unknown) => socket.send(JSON.stringify(message))
const playAudio = (data: object) => ({
  type: 'playAudio',
  data: { audioContentType: 'raw', sampleRate: 8_000, ...data }
})
const contains = (story: CallStory, pcm: Buffer) => story.heard.pcm.includes(pcm)

t.test('streamed audio is heard, and marks are reported in the spelling of mod_audio_fork', async (t) => {
  const texts: string[] = []
  const story = await answering(
    t,
    streaming,
    (socket) => {
      socket.on('message', (data, binary) => {
        if (!binary) texts.push(String(data))
      })
      socket.send(ramp(1_600))
      send(socket, { type: 'mark', data: { name: 'm1' } })
    },
    { speech: null }
  )
  t.ok(contains(story, ramp(1_600)))
  t.strictSame(texts, ['{"type": "mark", "data": {"name":"m1", "event": "playout"}}'])
  t.match(story.listens[0]!.marks, [{ name: 'm1', event: 'playout' }])
  t.match(story.heard.marks, [{ name: 'm1' }])
})

t.test(
  'streaming without a sampleRate works as file mode: only playAudio is heard, and marks are never reported',
  async (t) => {
    const story = await answering(t, { bidirectionalAudio: { enabled: true, streaming: true } }, (socket) => {
      socket.send(ramp(3_200))
      send(socket, { type: 'mark', data: { name: 'never' } })
      send(socket, playAudio({ audioContent: ramp(800, 7_000).toString('base64') }))
    })
    t.match(story.listens[0]!.receivedAudio, { bytes: 6_400, swallowed: 6_400 })
    t.strictSame(story.listens[0]!.marks, [])
    t.ok(contains(story, ramp(800, 7_000)))
    t.notOk(contains(story, ramp(100)))
  }
)

t.test('playAudio is ignored without an error in streaming mode, or if audio back is off', async (t) => {
  const message = playAudio({ audioContent: ramp(800).toString('base64'), id: 1 })
  for (const verb of [
    streaming,
    { disableBidirectionalAudio: true },
    { bidirectionalAudio: { enabled: false } }
  ]) {
    const story = await answering(t, verb, (socket) => send(socket, message))
    t.strictSame([story.listens[0]!.playDone, contains(story, ramp(100)), story.errors], [[], false, []])
  }
})

t.test('playDone has the id as string or number, as it was given, and times as strings', async (t) => {
  const story = await answering(t, {}, (socket) => {
    send(socket, playAudio({ audioContent: ramp(2_400).toString('base64'), id: 5, queuePlay: true }))
    send(socket, {
      type: 'playAudio',
      data: {
        audioContentType: 'wav',
        audioContent: wavOf(ramp(16_000), 16_000).toString('base64'),
        queuePlay: true
      }
    })
  })
  t.strictSame(story.listens[0]!.playDone, [
    { id: 5, playbackSeconds: '0', playbackMilliseconds: '300', playbackLastOffsetPos: '2400' },
    { playbackSeconds: '1', playbackMilliseconds: '1000', playbackLastOffsetPos: '8000' }
  ])
  t.match(
    story.listens[0]!.sent.texts[1],
    '{"type":"playDone","data":{"id":5,"playbackSeconds":"0","playbackMilliseconds":"300","playbackLastOffsetPos":"2400"}}'
  )
})

t.test(
  'without queuePlay, a new sound interrupts the playing sound, which continues when the new one has ended',
  async (t) => {
    const story = await answering(t, {}, (socket) => {
      send(socket, playAudio({ audioContent: ramp(4_000, 1).toString('base64'), id: 'a' }))
      send(socket, playAudio({ audioContent: ramp(1_600, 10_000).toString('base64'), id: 'b' }))
    })
    t.strictSame(
      story.listens[0]!.playDone.map(({ id }) => id),
      ['b', 'a']
    )
  }
)

t.test(
  'queued sounds play in order, and up to eleven wait; killAudio ends the playing sound, and the next starts',
  async (t) => {
    const sound = (id: number) =>
      playAudio({ audioContent: ramp(800, 1_000 * id).toString('base64'), id, queuePlay: true })
    const story = await answering(t, {}, (socket) => {
      for (let id = 1; id <= 15; id++) send(socket, sound(id))
    })
    t.strictSame(
      story.listens[0]!.playDone.map(({ id }) => id),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    )
    const killed = await answering(t, {}, (socket) => {
      send(socket, playAudio({ audioContent: ramp(80_000).toString('base64'), id: 'long', queuePlay: true }))
      send(socket, sound(2))
      afterFrames(socket, 20, () => send(socket, { type: 'killAudio' }))
    })
    t.strictSame(
      killed.listens[0]!.playDone.map(({ id }) => id),
      ['long', 2]
    )
    const { playbackMilliseconds, playbackLastOffsetPos } = killed.listens[0]!.playDone[0]!
    const [ms, offset] = [Number(playbackMilliseconds), Number(playbackLastOffsetPos)]
    t.ok(offset > 0 && offset < 80_000, playbackLastOffsetPos)
    t.equal(ms, Math.min(Math.ceil(offset / 8 / 2_048) * 2_048, 10_000))
  }
)

t.test(
  'in playAudio, other types are silent, unknown rates count as 16000, base64 ends at an invalid character',
  async (t) => {
    const pcm = ramp(1_600, 1_000)
    const story = await answering(t, {}, (socket) => {
      send(socket, {
        type: 'playAudio',
        data: { audioContentType: 'mp3', audioContent: pcm.toString('base64'), id: 'mp3' }
      })
      send(
        socket,
        playAudio({
          sampleRate: '8000',
          audioContent: pcm.toString('base64'),
          id: 'string rate',
          queuePlay: true
        })
      )
      send(
        socket,
        playAudio({
          audioContent: pcm.toString('base64').slice(0, 76) + '\n' + pcm.toString('base64').slice(76),
          id: 'lines',
          queuePlay: true
        })
      )
      send(socket, { type: 'playAudio' })
      send(socket, {
        type: 'playAudio',
        data: { audioContentType: 'wav', audioContent: 'AAAA', id: 'no wav', queuePlay: true }
      })
    })
    t.strictSame(
      story.listens[0]!.playDone.map(({ id, playbackLastOffsetPos }) => [id, playbackLastOffsetPos]),
      [
        ['string rate', '800'],
        ['lines', '28']
      ]
    )
    t.strictSame(story.errors, [])
  }
)

t.test(
  'playAudio without audioContentType, or with data null, crashes the media server and ends the call',
  async (t) => {
    for (const message of [
      { type: 'playAudio', data: { audioContent: 'AAAA' } },
      { type: 'playAudio', data: null }
    ]) {
      const story = await answering(t, {}, (socket) => send(socket, message))
      t.match(story.errors, [/^the media server crashed: playAudio without audioContentType/])
      t.equal(story.listens[0]!.closeCode, 1006)
      t.equal(story.hangupBy, 'jambonz')
    }
  }
)

t.test('clearMarks removes the waiting marks, and the end of the call stops a playing sound', async (t) => {
  const cleared = await answering(t, streaming, (socket) => {
    send(socket, { type: 'mark', data: { name: 'm1' } })
    send(socket, { type: 'clearMarks' })
  })
  t.strictSame(cleared.listens[0]!.marks, [])
  const cut = await answering(
    t,
    {},
    (socket) => send(socket, playAudio({ audioContent: ramp(80_000).toString('base64'), id: 'long' })),
    { hangUpAfterMs: 1_000 }
  )
  t.strictSame(cut.listens[0]!.playDone, [])
  t.ok(contains(cut, ramp(4_000)))
})

t.test('a text message is cut at its first NUL', async (t) => {
  const story = await answering(t, {}, (socket) => socket.send('{"type":"json"}\0, and more'))
  t.strictSame(story.listens[0]!.received, [{ type: 'json' }])
})

t.test('unknown messages are ignored', async (t) => {
  const story = await answering(t, {}, (socket) => {
    for (const text of [
      '',
      'no json',
      '[1',
      '"text"',
      '{"type":"unknown"}',
      '{"data":{}}',
      '{"type":5}',
      'null',
      '{"type":"mark"}',
      '{"type":"mark","data":null}'
    ]) {
      socket.send(text)
    }
  })
  t.strictSame(story.errors, [])
  t.equal(story.listens[0]!.received.length, 10)
  t.equal(story.listens[0]!.closedBy, 'jambonz')
})
