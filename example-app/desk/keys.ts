import type { FastifyInstance } from 'fastify'

/** maximum number of keys to keep of a call: the last ones */
const MOST_KEYS = 64

/**
 * Stores the keys that a caller presses in the call's data, so that all instances know them. Of a card number, it
 * stores only the number of keys.
 */
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
