import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Listen, Recording } from 'fastify-jambonz-listen'
import {
  simulateCall,
  type ListenRecord,
  type SimulateCallOptions,
  type SimulatorEvent
} from 'fastify-jambonz-listen/simulator'
import { buildApp } from './app.js'
import { channelsOf, likeness } from './demo/voices.js'
import { readEnvironment } from './environment.js'

/**
 * minimum correlation of the agent's voice in the recording with the voice that the caller heard (see
 * `likeness()`)
 */
const ALIKE = 0.9
const webhookSecret = 'the webhook secret of the demo'
const webhookAuth = { username: 'jambonz', password: 'the webhook password of the demo' }
/** true: the simulated jambonz uses its application websocket instead of HTTP webhooks */
const overWebsocket = process.argv.includes('--websocket')
const clip = (name: string) => join(import.meta.dirname, 'audio', `${name}.wav`)

/**
 * Makes two simulated calls to the example application: the first caller leaves a message, the second talks
 * to the agent. Only jambonz and the callers are simulated.
 */
async function demo(): Promise<void> {
  const directory = process.env.RECORDINGS_DIR ?? (await mkdtemp(join(tmpdir(), 'recordings-')))
  const app = await buildApp(
    readEnvironment({
      RECORDINGS_DIR: directory,
      JAMBONZ_WEBHOOK_SECRET: webhookSecret,
      WEBHOOK_PASSWORD: webhookAuth.password,
      AUDIO_PASSWORD: 'demo'
    })
  )
  try {
    const listening = await app.listen({ host: '127.0.0.1', port: 0 })
    const address = overWebsocket ? listening.replace('http', 'ws') : listening
    say(`The application is at ${address}. A simulated jambonz calls it.\n\nThe voicemail:`)
    const message = await take(app, address, 'voicemail', { speech: clip('caller'), press: '#' })
    await checkMessage(message)

    say('\nThe agent, which repeats what the caller says:')
    // The caller's first sentence interrupts the agent's prompt.
    const speech = [
      { silenceMs: 1_800 },
      clip('hello'),
      { silenceMs: 3_000 },
      clip('enough'),
      { silenceMs: 3_000 }
    ]
    await checkConversation(await take(app, address, 'agent', { speech, press: '#' }))
  } finally {
    await app.close()
  }
}

interface Taken {
  sent: ListenRecord
  recording: Recording
  listen: Listen
}

/** Makes a call to one line. Resolves to the audio that the caller sent, the listen, and its recording. */
async function take(
  app: FastifyInstance,
  address: string,
  line: string,
  caller: SimulateCallOptions
): Promise<Taken> {
  const story = await simulateCall({
    url: `${address}/${line}`,
    statusHook: '/status',
    webhookSecret,
    webhookAuth,
    speed: 1,
    onEvent: (event) => tell(event),
    ...caller
  })
  const [listen] = (await app.jambonz.calls.get(story.callSid))?.listens ?? []
  const [sent] = story.listens
  if (story.errors.length > 0 || listen?.recording === undefined || sent === undefined) {
    throw new Error(`the call failed: ${story.errors.join('; ') || 'nothing was recorded'}`)
  }
  return { sent, recording: listen.recording, listen }
}

/** Checks that the recording equals the audio that the caller sent, byte for byte. */
async function checkMessage({ sent, recording }: Taken): Promise<void> {
  const [samples] = channelsOf(await readFile(recording.location))
  if (!isSame(samples, sent.sent.pcm)) throw new Error(`${recording.location} differs from what was sent`)
  say(`
The message is recorded, ${seconds(recording.durationMs)}: every byte of what the caller said. Play it with any player:
  ${recording.location}`)
}

/**
 * Checks that the left channel of the recording equals the caller's audio, byte for byte, and that the right
 * channel contains the agent as the caller heard it, at the same time.
 */
async function checkConversation({ sent, recording, listen }: Taken): Promise<void> {
  const { location } = recording
  const [left, right] = channelsOf(await readFile(location))
  if (right === undefined) throw new Error(`${location} has one channel: a voice is missing`)
  if (!isSame(left, sent.sent.pcm)) {
    throw new Error(`${location}: the left channel is not what the caller said`)
  }

  const { output } = sent
  if (output === undefined) throw new Error('the caller heard nothing of the agent')
  const heard = new Int16Array(new Uint8Array(output.pcm).buffer)
  const from = ((output.startedAtMs - (sent.sent.startedAtMs ?? 0)) * output.sampleRate) / 1000
  const { correlation, delayMs } = likeness(right, heard, Math.round(from), output.sampleRate)
  if (correlation < ALIKE) {
    throw new Error(
      `${location}: the right channel is not what the caller heard of the agent (correlation ${correlation.toFixed(2)})`
    )
  }
  say(`
The conversation is recorded, ${seconds(recording.durationMs)}, and both voices are in it:
  left   the caller, every byte of what he said
  right  the agent as the caller heard it: correlation ${correlation.toFixed(2)}, ${Math.abs(delayMs).toFixed(0)} ms ${delayMs < 0 ? 'early' : 'late'}
What the caller heard of the agent (listen.output):`)
  for (const { text, atMs, heardMs, outcome } of listen.output ?? []) {
    const end = outcome === 'cleared' ? 'then the caller interrupted' : 'to its end'
    say(`  from ${seconds(atMs)}: ${seconds(heardMs)} of ${text ? 'the prompt' : 'an echo'}, ${end}`)
  }
  say(`  ${location}`)
}

function isSame(samples: Int16Array | undefined, bytes: Buffer | undefined): boolean {
  if (samples === undefined || bytes === undefined) return false
  return bytes.equals(Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength))
}

function tell({ name, atMs, payload }: SimulatorEvent): void {
  const print = (text: string) => say(`${seconds(atMs).padStart(7)}  ${text}`)
  switch (name) {
    case 'webhook':
    case 'hook': {
      const answer = Array.isArray(payload.reply)
        ? payload.reply.map(({ verb }) => verb).join(', ')
        : `status ${payload.status}`
      return print(
        `jambonz asks ${new URL(payload.hook ?? payload.url, payload.url).pathname} what to do, the answer is: ${answer}`
      )
    }
    case 'status':
      return print(`jambonz reports the call: ${(payload.payload as { call_status: string }).call_status}`)
    case 'verb':
      return print(
        payload.verb === 'say'
          ? `the caller hears "${String(payload.data.text)}"`
          : `jambonz runs ${payload.verb}`
      )
    case 'listen:open':
      return print(`the audio socket is open: ${payload.sampleRate} Hz, ${payload.mixType}`)
    case 'listen:close':
      return print(`the audio socket is closed, after ${payload.sent.bytes} bytes`)
    case 'message':
      if ((payload.message as { type?: unknown }).type !== 'killAudio') return
      return print('the caller speaks, and the agent falls silent')
    case 'dtmf':
      return print(`the caller presses ${payload.digit}`)
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

await demo().catch((err: Error) => {
  process.stderr.write(`${err.message}\n`)
  process.exitCode = 1
})
