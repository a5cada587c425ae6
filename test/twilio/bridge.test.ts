import { createHmac } from 'node:crypto'
import { WebSocket } from 'ws'
import t, { type Test } from 'tap'
import { decodeMulaw, encodeMulaw } from '../../lib/pcm/g711.js'
import { bytesOf } from '../../lib/pcm/samples.js'
import type { Listen } from '../../lib/model/schema.js'
import { bridgeTwilio, type BridgeOptions } from '../../lib/twilio/index.js'
import { ModuleCaller, type ModuleCallerOptions } from '../helpers/moduleCaller.js'
import { streamPair, until } from '../helpers/streamPair.js'
import { ToyBot, type TwilioMessage } from '../helpers/toyBot.js'

t.jobs = 10
const test = (title: string, run: (t: Test) => Promise<void>) => t.test(title, { buffered: true }, run)

interface BridgedOptions extends ModuleCallerOptions {
  listen?: Partial<Listen>
  bridge?: BridgeOptions
  acceptAfter?: number
  onMessage?: (bot: ToyBot, message: TwilioMessage) => void
}

/** Starts a bot and a call, and bridges the call's stream to the bot. */
async function bridged(t: Test, { listen, bridge, acceptAfter, onMessage, ...ear }: BridgedOptions = {}) {
  const bot = await ToyBot.start(t, onMessage, acceptAfter)
  const pair = await streamPair(t, {
    listen: { bidirectional: { mode: 'streaming', sampleRate: ear.rate ?? 8000 }, ...listen }
  })
  const caller = new ModuleCaller(t, pair.socket, ear)
  pair.start()
  await until(() => pair.stream.metadata !== undefined)
  const ended = bridgeTwilio(pair.stream, bot.url, bridge)
  ended.catch(() => {})
  return { ...pair, caller, bot, ended }
}

const echo = (bot: ToyBot, { media }: TwilioMessage) => {
  if (media) bot.say(Buffer.from(media.payload, 'base64'))
}
const speech = (samples: number, rate = 8000) =>
  Int16Array.from(
    { length: samples },
    (_, i) => 8000 * Math.sin((i * 2 * Math.PI * 440) / rate) * Math.sin((i * Math.PI * 3) / rate)
  )
const voiced = (heard: Int16Array) => [...heard].filter((sample) => sample !== 0)

test('a bot gets the start message that Twilio would send', async (t) => {
  const { bot, socket, ended, call } = await bridged(t, {
    listen: { metadata: { plan: 'gold', visits: 3 } },
    bridge: { customParameters: { agent: 'a1', tries: 2, isNew: true, from: undefined } }
  })
  await until(() => bot.of('start').length === 1)
  socket.send(bytesOf(speech(480)))
  socket.send('{"event":"dtmf","dtmf":"7","duration":"800"}')
  await until(() => bot.of('dtmf').length === 1)
  socket.close(1000)
  t.same(await ended, { endedBy: 'call', code: 1000 })
  await until(() => bot.closed !== undefined)
  t.same(
    bot.received.map(({ event }) => event),
    ['connected', 'start', 'media', 'media', 'media', 'dtmf', 'stop']
  )
  const [connected, start, , second] = bot.received
  t.match(connected, { protocol: 'Call', version: '1.0.0' })
  t.match(start, {
    sequenceNumber: '1',
    streamSid: /^MZ[0-9a-f]{32}$/,
    start: {
      streamSid: start?.streamSid,
      callSid: call.callSid,
      tracks: ['inbound'],
      mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
      customParameters: { plan: 'gold', visits: '3', agent: 'a1', tries: '2', isNew: 'true' }
    }
  })
  t.notHas(start, { start: { customParameters: { from: 'undefined' } } })
  t.match(second, {
    sequenceNumber: '3',
    streamSid: start?.streamSid,
    media: { track: 'inbound', chunk: '2', timestamp: '20' }
  })
  t.match(bot.of('dtmf'), [{ dtmf: { track: 'inbound_track', digit: '7' } }])
  t.match(bot.of('stop'), [{ stop: { callSid: call.callSid } }])
  t.equal(bot.closed, 1000)
})

test("an echo bot returns the caller's audio, with the quantization error of mu-law", async (t) => {
  const { socket, caller, bot } = await bridged(t, { onMessage: echo })
  const spoken = speech(4000)
  socket.send(bytesOf(spoken))
  const expected = decodeMulaw(encodeMulaw(spoken))
  await until(() => voiced(caller.heard).length >= voiced(expected).length)
  t.same(voiced(caller.heard), voiced(expected))
  t.ok(bot.heard.equals(encodeMulaw(spoken)))
})

test('other sample rates are converted in both directions', async (t) => {
  const { socket, caller, bot } = await bridged(t, {
    listen: { sampleRate: 16_000 },
    rate: 24_000,
    callRate: 24_000,
    onMessage: echo
  })
  socket.send(bytesOf(speech(8000, 16_000)))
  await until(() => bot.heard.length >= 4000)
  const narrow = decodeMulaw(bot.heard)
  t.ok(correlation(narrow, speech(4000), 32) > 0.99)
  await until(() => caller.heard.length >= 12_000)
  t.ok(correlation(caller.heard, speech(12_000, 24_000), 400) > 0.99)
})

test('a bot on a stereo listen hears only the caller', async (t) => {
  const { socket, bot } = await bridged(t, { listen: { mixType: 'stereo' } })
  const caller = speech(800)
  socket.send(
    bytesOf(Int16Array.from({ length: 1600 }, (_, i) => (i % 2 === 0 ? (caller[i >> 1] ?? 0) : 12_345)))
  )
  await until(() => bot.heard.length === 800)
  t.ok(bot.heard.equals(encodeMulaw(caller)))
})

test('audio that arrives before the bot has accepted the connection is not lost', async (t) => {
  const { socket, bot } = await bridged(t, { acceptAfter: 150 })
  socket.send(bytesOf(speech(1600)))
  await until(() => bot.heard.length === 1600)
  t.ok(bot.heard.equals(encodeMulaw(speech(1600))))
})

test('marks are returned in order, after their audio was heard, even if each piece of audio has a mark', async (t) => {
  const { bot, caller } = await bridged(t, {
    onMessage: (bot, { event, mark }) => {
      if (event === 'mark') heardAt.push(`${mark?.name} ${caller.heard.length >= 12_800}`)
    }
  })
  const heardAt: string[] = []
  await until(() => bot.of('start').length === 1)
  const spoken = encodeMulaw(speech(25_600))
  for (let piece = 0; piece < 10; piece++) {
    bot.say(spoken.subarray(piece * 2_560, (piece + 1) * 2_560))
    bot.send({ event: 'mark', mark: { name: `piece ${piece}` } })
  }
  await until(() => bot.of('mark').length === 10)
  t.same(
    bot.of('mark').map(({ mark }) => mark?.name),
    Array.from({ length: 10 }, (_, piece) => `piece ${piece}`)
  )
  t.equal(heardAt[0], 'piece 0 false')
  t.equal(heardAt[9], 'piece 9 true')
  t.same(voiced(caller.heard), voiced(decodeMulaw(spoken)), 'the audio has no gaps')
})

test('a clear message stops playout, and all waiting marks are returned', async (t) => {
  const { bot, caller } = await bridged(t)
  await until(() => bot.of('start').length === 1)
  bot.say(encodeMulaw(new Int16Array(16_000).fill(8000)))
  bot.send({ event: 'mark', mark: { name: 'end' } })
  await until(() => caller.heard.length > 800)
  bot.send({ event: 'clear' })
  await until(() => bot.of('mark').length === 1)
  t.ok(voiced(caller.heard).length < 8000, `${voiced(caller.heard).length} samples`)
})

test('a bot that hangs up ends the listen, and the call continues with its next verb', async (t) => {
  const { bot, ended, stream } = await bridged(t)
  await until(() => bot.of('start').length === 1)
  bot.socket?.close(1000)
  t.same(await ended, { endedBy: 'bot', code: 1000 })
  t.match(await stream.done, { reason: 'disconnected' })
})

test("if a bot disconnects or can't be reached, this is an error, and the listen stays open", async (t) => {
  const { bot, ended, stream, socket } = await bridged(t)
  await until(() => bot.of('start').length === 1)
  bot.socket?.close(1011)
  await t.rejects(ended, { code: 'FST_JAMBONZ_TWILIO_BOT', message: /closed with 1011/ })
  await t.rejects(bridgeTwilio(stream, 'ws://127.0.0.1:1/'), {
    code: 'FST_JAMBONZ_TWILIO_BOT',
    message: /ECONNREFUSED/
  })
  await t.rejects(bridgeTwilio(stream, 'ws://127.0.0.1:1/', { parameters: {} } as object), {
    code: 'FST_JAMBONZ_OPTIONS',
    message:
      /options of bridgeTwilio\(\)\.parameters: there is no such option: use one of customParameters, authToken/
  })
  t.equal(socket.readyState, socket.OPEN)
})

test("authToken signs the request for the bot's socket as Twilio does", async (t) => {
  const { bot, stream } = await bridged(t, { bridge: { authToken: 'secret' } })
  await until(() => bot.of('start').length === 1)
  const expected = createHmac('sha1', 'secret').update(bot.url).digest('base64')
  t.equal(bot.headers['x-twilio-signature'], expected)
  const own = new WebSocket(bot.url).on('error', () => {})
  t.teardown(() => own.terminate())
  await t.rejects(bridgeTwilio(stream, own, { authToken: 'secret' }), {
    code: 'FST_JAMBONZ_OPTIONS',
    message: /authToken .*leave it out for a socket of your own/
  })
})

test('invalid messages of a bot are ignored', async (t) => {
  const { bot, caller } = await bridged(t)
  await until(() => bot.of('start').length === 1)
  for (const text of [
    '{',
    'null',
    '[]',
    '{"event":"media"}',
    '{"event":"media","media":null}',
    '{"event":"mark","mark":{}}',
    '{"event":"x"}'
  ]) {
    bot.socket?.send(text)
  }
  bot.say(encodeMulaw(speech(1600)))
  await until(() => voiced(caller.heard).length > 1000)
})

test('bridging a listen without streaming throws an error that names the property to set', async (t) => {
  const { stream, start } = await streamPair(t, {
    listen: { bidirectional: { mode: 'file', sampleRate: 8000 } }
  })
  start()
  await until(() => stream.metadata !== undefined)
  await t.rejects(bridgeTwilio(stream, 'ws://127.0.0.1:1/'), {
    code: 'FST_JAMBONZ_AUDIO_MODE',
    message: /streaming: true/
  })
})

test('bridgeTwilio() rejects at once if the url is wrong, or if the socket has already closed or failed', async (t) => {
  const { stream } = await streamPair(t, {
    listen: { bidirectional: { mode: 'streaming', sampleRate: 8000 } }
  })
  const failed = new WebSocket('ws://127.0.0.1:1/')
  failed.on('error', () => {})
  await new Promise((resolve) => failed.on('close', resolve))
  const bots: Array<string | WebSocket> = [failed, 'no url', 'ftp://127.0.0.1/', 'ws://a/#b', '']
  for (const bot of bots) {
    await t.rejects(bridgeTwilio(stream, bot), { code: 'FST_JAMBONZ_TWILIO_BOT', statusCode: 502 })
  }
})

/**
 * Returns the best normalised correlation of two signals. The second signal may be up to `maxLag` samples
 * later.
 */
function correlation(a: Int16Array, b: Int16Array, maxLag: number): number {
  let best = 0
  for (let lag = 0; lag <= maxLag; lag++) {
    let product = 0
    let squareA = 0
    let squareB = 0
    for (let i = 0; i + lag < Math.min(a.length, b.length); i++) {
      const [x, y] = [a[i + lag] ?? 0, b[i] ?? 0]
      product += x * y
      squareA += x * x
      squareB += y * y
    }
    best = Math.max(best, product / Math.sqrt(squareA * squareB))
  }
  return best
}
