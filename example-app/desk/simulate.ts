import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { parseWav, simulateCall, type SimulateCallOptions } from 'fastify-jambonz-listen/simulator'
import type { DeskOptions } from './desk.js'

/** simulated calls at once */
const MAX_CALLS = 8
const RATE = 8_000

/** What the people of the simulated calls say and press. */
const SCRIPTS: Record<string, () => SimulateCallOptions> = {
  voicemail: () => ({ speech: say('caller'), press: '#' }),
  monitor: () => ({
    env: { TARGET: '+15550142' },
    speech: say(300, 'hello', 4_000, 'enough', 2_500),
    bLeg: { speech: say(2_000, 'callee-hello', 2_500, 'callee-goodbye'), answerAfterMs: 1_500 }
  }),
  agent: () => ({
    // The second sentence interrupts the echo of the first.
    speech: say(7_500, 'hello', 2_200, 'enough', 3_000),
    press: ['*@17s', '4929@18s', '*@20s', '#@21s']
  })
}

/** POST /simulate {"line":"voicemail"}: a simulated jambonz calls this application, in real time and without a network. */
export default async function simulate (app: FastifyInstance, { environment: { PUBLIC_URL, JAMBONZ_WEBHOOK_SECRET } }: DeskOptions): Promise<void> {
  const over = new AbortController()
  let running = 0
  let caller = 0
  app.addHook('preClose', async () => over.abort())

  const schema = { body: { type: 'object', required: ['line'], properties: { line: { enum: Object.keys(SCRIPTS) } } } } as const
  app.post<{ Body: { line: string } }>('/simulate', { schema }, async ({ body: { line }, log }, reply) => {
    if (running >= MAX_CALLS) return await reply.code(429).send({ message: `${MAX_CALLS} simulated calls are running: wait for one to end` })
    const call = simulateCall({
      app: app.server,
      hook: `/${line}`,
      statusHook: '/status',
      from: `+1555${String(100 + caller++ % 90).padStart(4, '0')}`,
      to: '+15550199',
      ...(PUBLIC_URL && { publicUrl: PUBLIC_URL }),
      ...(JAMBONZ_WEBHOOK_SECRET && { webhookSecret: JAMBONZ_WEBHOOK_SECRET }),
      speed: 1,
      keepAudio: false,
      signal: over.signal,
      ...SCRIPTS[line]!()
    })
    running++
    call.then(({ errors }) => {
      running--
      if (errors.length > 0) log.warn({ errors }, 'the simulated call had errors')
    })
    return await reply.code(202).send({ callSid: call.callSid })
  })
}

/** Sentences of audio/ (names) and pauses (ms), one after the other. */
function say (...parts: Array<string | number>): { pcm: Buffer, sampleRate: number } {
  const pcm = Buffer.concat(parts.map((part) => {
    if (typeof part === 'number') return Buffer.alloc(part * RATE / 1000 * 2)
    const { samples } = parseWav(readFileSync(join(import.meta.dirname, '..', 'audio', `${part}.wav`)))
    return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
  }))
  return { pcm, sampleRate: RATE }
}
