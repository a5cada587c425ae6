import type { FastifyInstance } from 'fastify'

/** keys that are noted of a call: the last ones */
const MOST_KEYS = 64

/** Notes the keys of a call on it, so that all instances know them; of a card number, only how many there were. */
export function noteKeys(app: FastifyInstance): void {
  const { calls } = app.jambonz
  calls.events.on('stream', (stream) => {
    let keys = String(stream.call.data.keys ?? '')
    stream.on('dtmf', ({ digit, private: isPrivate }) => {
      keys = `${keys}${isPrivate && /\d/.test(digit) ? '•' : digit}`.slice(-MOST_KEYS)
      calls.update(stream.callSid, { keys }).catch((err: unknown) => app.log.warn({ err }, 'keys not noted'))
    })
  })
}
