import fc from 'fast-check'
import { resolveOptions } from '../../lib/options.js'
import { assertCoded, nothingToEnd, type FuzzTarget } from './target.js'

const names = fc.constantFrom(
  'auth',
  'webhookAuth',
  'webhookSecret',
  'signatureTolerance',
  'secret',
  'audioPath',
  'publicUrl',
  'store',
  'callTtl',
  'recording',
  'fallback',
  'silenceLevel',
  'limits',
  'strict',
  'registry',
  'prefix',
  'nonsense',
  '__proto__'
)
const inner = fc.constantFrom(
  'username',
  'password',
  'maxStreams',
  'maxPayload',
  'metadataTimeout',
  'heartbeat',
  'maxBuffered',
  'directory',
  'fileName',
  'sink',
  'format',
  'retention',
  'encryption',
  'fsync',
  'flushInterval',
  'nonsense'
)
const leaf = fc.oneof(
  fc.string(),
  fc.double(),
  fc.integer(),
  fc.boolean(),
  fc.constantFrom<unknown>(
    null,
    undefined,
    '/audio',
    'https://x.example',
    'a'.repeat(40),
    () => {},
    Symbol('x'),
    2 ** 31,
    2 ** 53
  )
)
const value = fc.oneof(
  { weight: 3, arbitrary: leaf },
  { weight: 1, arbitrary: fc.array(leaf, { maxLength: 3 }) },
  { weight: 2, arbitrary: fc.dictionary(inner, leaf, { maxKeys: 4 }) }
)

/**
 * Random options are passed to the plugin. They must be accepted, or refused with an error of the plugin that
 * names the option.
 */
export const options: FuzzTarget = {
  name: 'options',
  share: 4,
  async begin() {
    return {
      property: fc.property(fc.dictionary(names, value, { maxKeys: 4 }), (given) => {
        try {
          resolveOptions(given as never)
        } catch (err) {
          assertCoded(err)
        }
      }),
      end: nothingToEnd
    }
  }
}
