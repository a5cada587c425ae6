import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { AudioStream, Listen, ListenOptions } from '../lib/index.js'
import {
  parseWav,
  simulateCall,
  speechLike,
  type CallStory,
  type ListenRecord,
  type SimulateCallOptions
} from '../lib/simulator/index.js'
import { build, folder, listening } from './helpers/build.js'
import { acceptedByJambonz } from './helpers/verbContext.js'

/**
 * The values that a row checks: the call on jambonz' side, and the listen and stream on the application's
 * side.
 */
interface Outcome {
  story: CallStory
  socket: ListenRecord
  listen: Listen
  stream: AudioStream
  app: FastifyInstance
}

interface Row {
  /** the option, or the sentence of jambonz' documentation, that the row tests */
  says: string
  listen: ListenOptions
  call?: Partial<SimulateCallOptions>
  /** true: the listen is nested in a dial */
  dialled?: boolean
  holds: (t: Test, outcome: Outcome) => unknown
}

const auth = { username: 'jambonz', password: 'pässword:with:colons' }
const silent = { pcm: new Int16Array(8_000 * 6), sampleRate: 8_000 }

/** Returns 2 s of speech and 4 s of silence. */
function speechThenSilence() {
  const pcm = new Int16Array(8_000 * 6)
  pcm.set(speechLike(2, 8_000).samples)
  return { pcm, sampleRate: 8_000 }
}

const rows: Row[] = [
  {
    says: 'an audio stream is forked and sent in real time to the application, as 16-bit PCM in binary frames',
    listen: {},
    async holds(t, { socket, listen }) {
      t.equal(listen.audio.bytes, socket.sent.bytes)
      const { samples } = parseWav(await readFile(listen.recording!.location))
      t.ok(Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength).equals(socket.sent.pcm!))
    }
  },
  {
    says: 'the listen verb can be nested in a dial verb: the audio of a call between two parties',
    listen: { mixType: 'stereo' },
    dialled: true,
    holds(t, { socket, listen, story }) {
      t.equal(listen.nested, 'dial')
      t.equal(listen.callSid, story.callSid)
      t.equal(listen.legCallSid, socket.callSid, 'the leg is the B leg')
      t.not(socket.callSid, story.callSid)
      t.equal(listen.recording?.durationMs, listen.audio.durationMs)
    }
  },
  {
    says: 'HTTP Basic Authentication can be used to protect the websocket',
    listen: {},
    holds: (t, { story, socket }) => {
      t.match(story.verbs.find(({ verb }) => verb === 'listen')?.data, { wsAuth: auth })
      t.equal(socket.refused, undefined)
    }
  },
  {
    says: 'one text frame has the call attributes, plus sampleRate and mixType',
    listen: { sampleRate: 16_000, mixType: 'mixed' },
    holds: (t, { stream, story }) => {
      t.match(stream.metadata, {
        callSid: story.callSid,
        direction: 'inbound',
        sampleRate: 16_000,
        mixType: 'mixed'
      })
      t.match(stream, { callSid: story.callSid, sampleRate: 16_000, mixType: 'mixed', channels: 1 })
    }
  },
  {
    says: 'actionHook is invoked when the listen ends, with the duration of the audio stream',
    listen: {},
    holds: (t, { listen }) => {
      t.equal(listen.state, 'ended')
      t.equal(listen.reportedDuration, Math.floor(listen.audio.durationMs / 1000))
    }
  },
  {
    says: 'finishOnKey: only this key ends the listen',
    listen: { finishOnKey: '#' },
    call: { press: '5@500ms', speech: silent, hangUpAfterMs: 8_000 },
    holds: (t, { listen }) =>
      t.match(listen, { digits: undefined, endReason: 'closed' }, 'another key does not end the listen')
  },
  {
    says: 'finishOnKey: the key that ends the listen is the digits property of the hook',
    listen: { finishOnKey: '#' },
    call: { press: '#@500ms', speech: silent },
    holds: (t, { listen }) => {
      t.match(listen, { digits: '#', endReason: 'finishOnKey' })
      t.ok(listen.audio.durationMs < 1_500)
    }
  },
  {
    says: 'finishOnKey: each key of a set ends the listen',
    listen: { finishOnKey: '12*' },
    call: { press: ['7@200ms', '*@500ms'], speech: silent },
    holds: (t, { listen }) => t.match(listen, { digits: '*', endReason: 'finishOnKey' })
  },
  {
    says: 'maxLength: the maximum length of the audio, in seconds',
    listen: { maxLength: 2 },
    call: { speech: silent },
    holds: (t, { listen }) => {
      t.equal(listen.endReason, 'maxLength')
      t.ok([2_000, 2_020].includes(listen.audio.durationMs), `${listen.audio.durationMs} ms`)
    }
  },
  {
    says: 'metadata: arbitrary data in the JSON payload, read correctly even from an invalid text frame',
    listen: { metadata: { caller: 'O\'Brien "Bob"', nested: { list: [1, 'a\nb'] } } },
    call: { faults: { metadata: 'apostrophe' } },
    holds: (t, { stream, socket, listen }) => {
      t.throws(() => JSON.parse(socket.metadataText), 'the frame is invalid')
      t.match(stream.metadata, { caller: 'O\'Brien "Bob"', nested: { list: [1, 'a\nb'] } })
      t.same(listen.metadata, { caller: 'O\'Brien "Bob"', nested: { list: [1, 'a\nb'] } })
    }
  },
  {
    says: 'mixType mono: a single channel',
    listen: { mixType: 'mono' },
    holds: (t, { listen, socket }) =>
      t.match(listen, { mixType: 'mono', channels: 1, audio: { durationMs: socket.sent.bytes / 16 } })
  },
  {
    says: 'mixType stereo: dual channel',
    listen: { mixType: 'stereo' },
    holds: (t, { listen, socket }) =>
      t.match(listen, {
        mixType: 'stereo',
        channels: 2,
        audio: { durationMs: socket.sent.bytes / 32 },
        recording: { channels: 2 }
      })
  },
  {
    says: 'mixType mixed: both parties in a single channel',
    listen: { mixType: 'mixed' },
    holds: (t, { listen }) => t.match(listen, { mixType: 'mixed', channels: 1 })
  },
  {
    says: 'mixType: the default is mono',
    listen: {},
    holds: (t, { socket }) => t.equal(socket.mixType, 'mono')
  },
  {
    says: 'playBeep: a beep at the start',
    listen: { playBeep: true },
    holds: (t, { story }) => t.ok(peakOf(story, 1_500) > 500, 'the caller hears 1500 Hz')
  },
  {
    says: 'playBeep: the default is false',
    listen: {},
    holds: (t, { story }) => t.ok(peakOf(story, 1_500) < 50)
  },
  ...([8_000, 16_000, 24_000, 48_000, 64_000] as const).map((sampleRate): Row => ({
    says: `sampleRate ${sampleRate}`,
    listen: { sampleRate },
    holds: async (t, { listen, socket }) => {
      t.match(listen, { sampleRate, audio: { durationMs: (socket.sent.bytes / 2 / sampleRate) * 1_000 } })
      t.equal(parseWav(await readFile(listen.recording!.location)).sampleRate, sampleRate)
    }
  })),
  {
    says: 'sampleRate: the default is 8000',
    listen: {},
    holds: (t, { socket }) => t.equal(socket.sampleRate, 8_000)
  },
  {
    says: 'timeout: the number of seconds of silence that terminates the listen',
    listen: { timeout: 2 },
    // The speed is only 4, because the simulator sends audio until the plugin ends the listen, which takes
    // longer on a busy machine.
    call: { speech: speechThenSilence(), speed: 4 },
    holds: (t, { listen }) => {
      t.equal(listen.endReason, 'timeout')
      t.ok(
        listen.audio.durationMs >= 3_900 && listen.audio.durationMs < 6_000,
        `${listen.audio.durationMs} ms`
      )
    }
  },
  {
    says: 'timeout: speech does not end the listen',
    listen: { timeout: 2 },
    call: {
      speech: { pcm: speechLike(3, 8_000).samples, sampleRate: 8_000 },
      press: [],
      hangUpAfterMs: 4_000
    },
    holds: (t, { listen }) => t.equal(listen.endReason, 'closed')
  },
  {
    says: 'transcribe: a nested transcribe verb',
    listen: {
      transcribe: { transcriptionHook: '/transcript', recognizer: { vendor: 'google', language: 'en-US' } }
    },
    call: { transcripts: ['hello there'] },
    holds: (t, { story }) => {
      t.ok(
        story.requests.some(({ url, hook = url }) => hook.endsWith('/transcript')),
        'transcripts reach their hook'
      )
      t.match(story.verbs.find(({ verb }) => verb === 'listen')?.data.transcribe, {
        transcriptionHook: '/transcript'
      })
    }
  },
  {
    says: 'url: an audio route of the application',
    listen: { url: '/own' },
    holds: (t, { listen, socket }) => {
      t.equal(listen.path, '/own')
      t.match(new URL(socket.url).pathname, /^\/own\/[\w-]+\.[\w-]+$/)
    }
  },
  {
    says: 'wsAuth.username, wsAuth.password: in the verb, and sent by jambonz',
    listen: { wsAuth: auth },
    holds: (t, { socket }) => t.equal(socket.refused, undefined)
  },
  {
    says: 'passDtmf: the application receives the digits',
    listen: { passDtmf: true },
    call: { press: '42@300ms', speech: silent, hangUpAfterMs: 2_000 },
    holds: (t, { socket }) => t.equal(socket.sent.texts.filter((text) => text.includes('dtmf')).length, 2)
  }
]

/** Returns how strongly the caller heard a tone (Goertzel), per sample. */
function peakOf({ heard }: CallStory, frequency: number): number {
  const coefficient = 2 * Math.cos((2 * Math.PI * frequency) / heard.sampleRate)
  const window = heard.sampleRate / 5
  let loudest = 0
  for (let start = 0; start + window <= heard.pcm.length / 2; start += window) {
    let [s1, s2] = [0, 0]
    for (let i = start; i < start + window; i++) {
      ;[s1, s2] = [heard.pcm.readInt16LE(i * 2) + coefficient * s1 - s2, s1]
    }
    loudest = Math.max(loudest, Math.sqrt(s1 * s1 + s2 * s2 - coefficient * s1 * s2) / window)
  }
  return loudest
}

t.test('the plugin does what the jambonz documentation says about the listen verb', async (t) => {
  const app = await build(t, { auth, recording: { directory: folder() } })
  const byCall = new Map<string, Row>()
  const streams = new Map<string, AudioStream>()
  app.jambonz.calls.events.on('stream', (stream) => {
    streams.set(stream.callSid, stream)
  })
  app.jambonz.audio('/own', () => {})
  app.jambonz.webhook('/in', async ({ call }) => {
    const { listen, dialled } = byCall.get(call.callSid)!
    const options = { actionHook: '/done', ...listen }
    return dialled
      ? [{ verb: 'dial', target: [{ type: 'phone', number: '15085551212' }], listen: options }]
      : [{ verb: 'listen', ...options }]
  })
  app.jambonz.webhook('/transcript', async () => [])
  const listens = new Map<string, Listen>()
  app.jambonz.actionHook('/done', async ({ listen }) => {
    listens.set(listen.callSid, listen)
    return [{ verb: 'hangup' }]
  })
  const base = await listening(app)
  for (const [row, transport] of rows.flatMap((row) => [[row, 'http'] as const, [row, 'ws'] as const])) {
    t.test(`over ${transport}: ${row.says}`, async (t) => {
      const callSid = crypto.randomUUID()
      byCall.set(callSid, row)
      const story = await simulateCall({ url: `${base.replace('http', transport)}/in`, callSid, ...row.call })
      t.same(story.errors, [])
      const socket = story.listens[0]!
      const listen = listens.get(callSid)
      if (listen === undefined) {
        return t.fail('the actionHook was called', { story: JSON.stringify(story.requests, null, 1) })
      }
      await row.holds(t, { story, socket, listen, stream: streams.get(callSid)!, app })
      for (const { reply } of story.requests) {
        if (Array.isArray(reply)) {
          t.doesNotThrow(() => acceptedByJambonz(reply), "jambonz' own validators accept the answer")
        }
      }
    })
  }
})
