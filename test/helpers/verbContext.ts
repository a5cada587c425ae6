import { createRequire } from 'node:module'
import type { Call } from '../../lib/model/schema.js'
import { ERR_AUDIO_ROUTE } from '../../lib/model/errors.js'
import type { VerbContext } from '../../lib/verbs/index.js'

type Validate = (logger: Pick<Console, 'info'>, verbs: object[]) => void

const require = createRequire(import.meta.url)
const published = ['@jambonz/schema', '@jambonz/verb-specifications'].map(
  (name) => require(name) as { validate: Validate }
)

/**
 * Throws unless both validators that jambonz publishes accept the verbs. Its feature server runs the second
 * validator.
 */
export function acceptedByJambonz(verbs: object[]): void {
  for (const { validate } of published) validate({ info() {} }, JSON.parse(JSON.stringify(verbs)) as object[])
}

export const CALL: Call = {
  callSid: '0f2c2a64-ba1c-4f0c-9d43-2c7b2a1c6e55',
  data: {},
  listens: [],
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z'
}

/**
 * Returns a context with the audio routes `/audio` (built in) and `/custom` and the built-in hook `/hook`.
 * Its listen ids are `listen-0`, `listen-1`…
 */
export function verbContext(overrides: Partial<VerbContext> = {}): VerbContext {
  return {
    call: CALL,
    listenId: (ordinal) => `listen-${ordinal}`,
    audioUrl(url = '/audio', id) {
      if (/^(?:wss?|https?):/.test(url)) return undefined
      if (url !== '/audio' && url !== '/custom') throw new ERR_AUDIO_ROUTE(url)
      return { path: url, url: `${url}/${id}.signature` }
    },
    hookUrl(url = '/hook', id) {
      const isOurs = url.startsWith('/')
      return { url: isOurs ? `${url}?listen=${id}` : url, isOurs }
    },
    platform: '0.9',
    defaultActionHook: true,
    ...overrides
  }
}
