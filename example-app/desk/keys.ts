import type { FastifyInstance } from 'fastify'

/** maximum number of keys that are stored per call; older keys are dropped */
const MOST_KEYS = 64

/**
 * Stores the keys that a caller presses in the data of the call, so that the page can show them on any
 * instance. Of private digits, such as a card number, it stores only how many there are.
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
