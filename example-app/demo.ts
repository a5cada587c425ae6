import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseWav, simulateCall, type SimulatorEvent } from 'fastify-jambonz-listen/simulator'
import type { Recording } from 'fastify-jambonz-listen'
import { buildApp } from './app.js'
import { readEnvironment } from './environment.js'

/** A caller leaves a message on the example application: everything is real but the phone. */
async function demo(): Promise<void> {
  const speech = join(import.meta.dirname, 'audio', 'caller.wav')
  const directory = process.env.RECORDINGS_DIR ?? (await mkdtemp(join(tmpdir(), 'voicemail-')))
  const webhookSecret = 'the webhook secret of the demo'
  const app = await buildApp(
    readEnvironment({
      RECORDINGS_DIR: directory,
      JAMBONZ_WEBHOOK_SECRET: webhookSecret,
      AUDIO_PASSWORD: 'demo'
    })
  )
  let recording: Recording | undefined
  app.jambonz.calls.events.on('recording', (saved) => {
    recording = saved
  })

  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  print(0, `the application is at ${address}, a simulated jambonz calls it`)
  const story = await simulateCall({
    url: `${address}/voicemail`,
    statusHook: `${address}/status`,
    webhookSecret,
    speech,
    press: '#',
    speed: 1,
    onEvent: (event) => tell(event)
  })
  await app.close()

  if (story.errors.length > 0 || recording === undefined) {
    throw new Error(`the call failed: ${story.errors.join('; ') || 'nothing was recorded'}`)
  }
  await compare(recording, story.listens[0]?.sent.pcm)
}

/** What was recorded must be what was sent, byte for byte. */
async function compare(recording: Recording, sent: Buffer | undefined): Promise<void> {
  const { samples } = parseWav(await readFile(recording.location))
  const recorded = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
  if (sent === undefined || !recorded.equals(sent)) {
    throw new Error(`${recording.location} differs from what was sent`)
  }
  process.stdout.write(`
The message is recorded, ${(recording.durationMs / 1000).toFixed(1)} s, every byte of what the caller said. Play it with any player:
  ${recording.location}
`)
}

function tell({ name, atMs, payload }: SimulatorEvent): void {
  switch (name) {
    case 'webhook':
    case 'hook': {
      const answer = Array.isArray(payload.reply)
        ? payload.reply.map(({ verb }) => verb).join(', ')
        : `status ${payload.status}`
      return print(atMs, `jambonz asks ${new URL(payload.url).pathname} what to do, the answer is: ${answer}`)
    }
    case 'status':
      return print(
        atMs,
        `jambonz reports the call: ${(payload.payload as { call_status: string }).call_status}`
      )
    case 'verb':
      return print(
        atMs,
        payload.verb === 'say'
          ? `the caller hears "${String(payload.data.text)}"`
          : `jambonz runs ${payload.verb}`
      )
    case 'listen:open':
      return print(atMs, `the audio socket is open: ${payload.sampleRate} Hz, ${payload.mixType}`)
    case 'listen:close':
      return print(atMs, `the audio socket is closed, after ${payload.sent.bytes} bytes`)
    case 'dtmf':
      return print(atMs, `the caller presses ${payload.digit}`)
  }
}

function print(atMs: number, text: string): void {
  process.stdout.write(`${(atMs / 1000).toFixed(1).padStart(5)} s  ${text}\n`)
}

await demo().catch((err: Error) => {
  process.stderr.write(`${err.message}\n`)
  process.exitCode = 1
})
