import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import type { Listen } from 'fastify-jambonz-listen'
import { parseWav, simulateCall, type CallStory } from 'fastify-jambonz-listen/simulator'
import t from 'tap'
import { exampleApp } from '../helpers/exampleApp.js'
import { askForListen } from '../helpers/listen.js'

const RATE = 8_000
const BYTES_PER_MS = (RATE * 2) / 1000

// These tests spend most of their time waiting, so three run at the same time.
t.jobs = 3

t.test('voicemail greets the caller, records until the key, thanks the caller and hangs up', async (t) => {
  const app = await exampleApp(t)
  const story = await simulateCall({
    app,
    hook: '/voicemail',
    statusHook: '/status',
    from: '+1555',
    press: '#'
  })
  t.same(story.errors, [])
  t.match(story.verbs, [
    { verb: 'say', data: { text: /after the beep/ } },
    { verb: 'listen' },
    { verb: 'say', data: { text: /Thank you/ } },
    { verb: 'hangup' }
  ])
  t.match(await firstListen(app, story), {
    endReason: 'finishOnKey',
    digits: '#',
    metadata: { line: 'voicemail', caller: '+1555' },
    recording: { state: 'saved' }
  })
})

t.test('voicemail tells the caller if the recording failed', async (t) => {
  const app = await exampleApp(t)
  const listen = await askForListen(app, '/voicemail')
  t.match(await listen.hook(), [{ verb: 'say', text: /could not record/ }, { verb: 'hangup' }])
})

t.test('the monitor line connects two parties and records each on its own channel', async (t) => {
  const app = await exampleApp(t)
  const story = await simulateCall({
    app,
    hook: '/monitor',
    statusHook: '/status',
    env: { TARGET: '+15550142' },
    speech: { pcm: new Int16Array(RATE).fill(1_000), sampleRate: RATE },
    bLeg: { speech: { pcm: new Int16Array(RATE).fill(-2_000), sampleRate: RATE } }
  })
  t.same(story.errors, [])
  t.same(
    story.verbs.map(({ verb }) => verb),
    ['dial', 'hangup']
  )
  t.match(story.verbs[0]?.data, { target: [{ type: 'phone', number: '+15550142' }] })
  const { recording, legCallSid, mixType } = await firstListen(app, story)
  t.equal(mixType, 'stereo')
  t.equal(legCallSid, story.legs[0]?.callSid)
  const wav = await readFile(recording!.location)
  const sent = story.listens[0]!.sent.pcm!
  t.ok(wav.includes(sent), 'the recording has every byte of both parties')
  t.same(loudIn(sent, 0), [1_000], 'the caller is on the left')
  t.same(loudIn(sent, 2), [-2_000], 'the callee is on the right')
})

t.test(
  'the monitor line dials the number from the portal, and tells the caller if there is no number',
  async (t) => {
    const app = await exampleApp(t)
    t.match((await app.inject({ method: 'OPTIONS', url: '/monitor' })).json(), {
      TARGET: { type: 'string', required: true }
    })
    const nobody = await simulateCall({ app, hook: '/monitor' })
    t.match(nobody.verbs, [
      { verb: 'say', data: { text: /Nobody has said whom to call/ } },
      { verb: 'hangup' }
    ])
    const busy = await simulateCall({
      app,
      hook: '/monitor',
      env: { TARGET: 'sip:bob@example.org' },
      bLeg: { answer: 486 }
    })
    t.match(busy.verbs, [
      { verb: 'dial', data: { target: [{ type: 'sip', sipUri: 'sip:bob@example.org' }] } },
      { verb: 'say', data: { text: /Nobody answers/ } },
      { verb: 'hangup' }
    ])
  }
)

t.test('the agent repeats the caller, stops when interrupted, and keeps a card number private', async (t) => {
  const app = await exampleApp(t)
  const [prompt, hello, enough, card] = await Promise.all([
    clip('prompt'),
    clip('hello'),
    clip('enough'),
    clip('callee-goodbye')
  ])
  // The caller interrupts the prompt, and then the echo of his first sentence. His third sentence, between
  // two star keys, is private.
  const speech = Buffer.concat([
    silence(2_000),
    hello,
    silence(1_400),
    enough,
    silence(4_700),
    card,
    silence(800)
  ])
  const story = await simulateCall({
    app,
    hook: '/agent',
    speech: { pcm: speech, sampleRate: RATE },
    press: ['*@10500ms', '*@13500ms', '#@14500ms'],
    speed: 1
  })
  t.same(story.errors, [])
  t.match(
    story.verbs.map(({ verb }) => verb),
    ['listen', 'say', 'hangup']
  )
  const { pcm: heard } = story.heard
  const listen = await firstListen(app, story)

  const echo = heard.indexOf(snippet(hello, 120))
  const second = heard.indexOf(snippet(enough, 300))
  t.ok(heard.includes(snippet(prompt, 1_000)), 'the prompt is spoken')
  t.notOk(heard.includes(snippet(prompt, 4_000)), 'the prompt stops when the caller speaks')
  t.ok(
    echo > silence(2_000).length + hello.length,
    `the caller's sentence is repeated after he has said it: ${echo / BYTES_PER_MS} ms after the beginning`
  )
  t.notOk(heard.includes(snippet(hello, 1_400)), 'the echo stops when the caller speaks again')
  t.ok(
    second > echo && heard.indexOf(snippet(enough, 1_300)) > second,
    'then the whole second sentence is repeated'
  )

  t.ok(
    story.listens[0]!.sent.pcm!.includes(snippet(card, 500)),
    'what the caller says between the star keys is sent to the application'
  )
  t.notOk(heard.includes(snippet(card, 500)), 'the private sentence is not repeated')
  const [left, right] = await sidesOf(listen)
  t.ok(left.includes(hello) && left.includes(enough), 'the other sentences are recorded on the left')
  t.notOk(left.includes(snippet(card, 500)), 'the private sentence is not recorded')
  const spoken = right.indexOf(snippet(prompt, 1_000))
  t.ok(spoken > 0, 'the part of the agent that the caller heard is on the right')
  t.notOk(right.includes(snippet(prompt, 4_000)), 'the recorded prompt ends where the caller interrupted it')
  t.ok(right.includes(snippet(hello, 120)) && right.includes(snippet(enough, 1_300)), 'the echoes, too')
  const { output, sent } = story.listens[0]!
  const shift = (sent.startedAtMs! - output!.startedAtMs) * BYTES_PER_MS
  const late = spoken - (output!.pcm.indexOf(snippet(prompt, 1_000)) - shift)
  t.ok(
    Math.abs(late / BYTES_PER_MS) <= 60,
    `the agent's audio is recorded ${late / BYTES_PER_MS} ms after the caller heard it`
  )
  t.match(listen.output, [
    { text: /^I repeat/, outcome: 'cleared' },
    { outcome: 'cleared' },
    { outcome: 'playout' }
  ])
  t.match(listen, {
    endReason: 'finishOnKey',
    digits: '#',
    recording: { pauses: [{ mode: 'silence', durationMs: Number }] }
  })
  t.match((await app.jambonz.calls.get(story.callSid))?.data, { keys: '**#' })
})

async function firstListen(app: FastifyInstance, { callSid }: CallStory): Promise<Listen> {
  return (await app.jambonz.calls.get(callSid))!.listens[0]!
}

/** Resolves to the two channels of a recording. */
async function sidesOf({ recording }: Listen): Promise<[left: Buffer, right: Buffer]> {
  const wav = await readFile(recording!.location)
  const pairs = wav.subarray(wav.indexOf('data') + 8)
  const sides = [Buffer.alloc(pairs.length / 2), Buffer.alloc(pairs.length / 2)] as [Buffer, Buffer]
  for (let at = 0; at < pairs.length; at += 4) {
    pairs.copy(sides[0], at / 2, at, at + 2)
    pairs.copy(sides[1], at / 2, at + 2, at + 4)
  }
  return sides
}

async function clip(name: string): Promise<Buffer> {
  const { samples } = parseWav(await readFile(`example-app/audio/${name}.wav`))
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
}

function silence(ms: number): Buffer {
  return Buffer.alloc(ms * BYTES_PER_MS)
}

/** Returns 10 ms of the audio. They are long enough to occur nowhere else. */
function snippet(pcm: Buffer, atMs: number): Buffer {
  return pcm.subarray(atMs * BYTES_PER_MS, (atMs + 10) * BYTES_PER_MS)
}

/** Returns all values other than silence in one channel of a stereo stream. */
function loudIn(pcm: Buffer, offset: number): number[] {
  const values = new Set<number>()
  for (let at = offset; at < pcm.length; at += 4) values.add(pcm.readInt16LE(at))
  return [...values].filter((value) => value !== 0)
}
