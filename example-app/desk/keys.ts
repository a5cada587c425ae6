import type { FastifyInstance } from 'fastify'

/** Notes the keys of a call on it, so that all instances know them; of a card number, only how many there were. */
export function noteKeys(app: FastifyInstance): void {
  const { calls } = app.jambonz
  calls.events.on('stream', (stream) => {
    let keys = String(stream.call.data.keys ?? '')
    stream.on('dtmf', ({ digit }) => {
      keys += stream.recording?.state === 'paused' && /\d/.test(digit) ? '•' : digit
      calls.update(stream.callSid, { keys }).catch((err: unknown) => app.log.warn({ err }, 'keys not noted'))
    })
  })
}
