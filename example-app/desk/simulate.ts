import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { simulateCall, type SimulateCallOptions } from 'fastify-jambonz-listen/simulator'
import type { Environment } from '../environment.js'

/** maximum number of simulated calls that may run at the same time */
const MAX_CALLS = 8

const clip = (name: string) => join(import.meta.dirname, '..', 'audio', `${name}.wav`)
const silence = (ms: number) => ({ silenceMs: ms })

/** the speech and key presses of the simulated callers, by line */
const SCRIPTS: Record<string, SimulateCallOptions> = {
  voicemail: { speech: clip('caller'), press: '#' },
  monitor: {
    env: { TARGET: '+15550142' },
    speech: [silence(300), clip('hello'), silence(4_000), clip('enough'), silence(2_500)],
    bLeg: {
      speech: [silence(2_000), clip('callee-hello'), silence(2_500), clip('callee-goodbye')],
      answerAfterMs: 1_500
    }
  },
  // The caller's second sentence interrupts the echo of the first one.
  agent: {
    speech: [silence(7_500), clip('hello'), silence(2_200), clip('enough'), silence(3_000)],
    press: ['*@17s', '4929@18s', '*@20s', '#@21s']
  }
}

/**
 * Adds POST /simulate. A request such as {"line":"voicemail"} makes a simulated jambonz call this
 * application, in real time but without a network.
 */
export default async function simulate(app: FastifyInstance, environment: Environment): Promise<void> {
  const closing = new AbortController()
  let callers = 0
  let running = 0
  app.addHook('preClose', async () => closing.abort())

  const schema = {
    body: { type: 'object', required: ['line'], properties: { line: { enum: Object.keys(SCRIPTS) } } }
  }
  app.post<{ Body: { line: string } }>('/simulate', { schema }, async ({ body: { line }, log }, reply) => {
    if (running >= MAX_CALLS) {
      return await reply
        .code(429)
        .send({ message: `${MAX_CALLS} simulated calls are running: wait for one to end` })
    }
    running++
    const call = simulateCall({
      app: app.server,
      hook: `/${line}`,
      statusHook: '/status',
      from: `+1555${String(100 + (callers++ % 90)).padStart(4, '0')}`,
      to: '+15550199',
      publicUrl: environment.PUBLIC_URL,
      webhookSecret: environment.JAMBONZ_WEBHOOK_SECRET,
      speed: 1,
      keepAudio: false,
      signal: closing.signal,
      ...SCRIPTS[line]
    })
    call.then(({ errors }) => {
      running--
      if (errors.length > 0) log.warn({ errors }, 'the simulated call had errors')
    })
    return await reply.code(202).send({ callSid: call.callSid })
  })
}
