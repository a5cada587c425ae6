import { createHmac, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { Hmac } from '../../lib/model/tokens.js'

const KEYS = ['', 'short', 'Zoë’s', 'x'.repeat(64), 'x'.repeat(65), randomBytes(32), randomBytes(200)]
const TEXTS = ['', '1700000000.', 'Zoë "Ω" 𝄞', 'x'.repeat(5_461), 'x'.repeat(5_462), 'Ω'.repeat(20_000)]
const RESTS = [
  undefined,
  Buffer.alloc(0),
  randomBytes(1_200),
  randomBytes(16_373),
  randomBytes(16_400),
  randomBytes(100_000)
]

t.test('it is what Node computes, whatever the length of key and message', async (t) => {
  for (const key of KEYS) {
    const hmac = new Hmac(key)
    for (const text of TEXTS) {
      for (const rest of RESTS) {
        for (const encoding of ['hex', 'base64url'] as const) {
          const expected = createHmac('sha256', key)
            .update(text)
            .update(rest ?? '')
            .digest(encoding)
          t.equal(
            hmac.digest(encoding, text, rest),
            expected,
            `key of ${key.length}, text of ${text.length}, rest of ${rest?.length}`
          )
        }
      }
    }
  }
})

t.test('one message leaves nothing for the next, and the writer may change his key', async (t) => {
  const key = Buffer.from('a key')
  const hmac = new Hmac(key)
  const first = hmac.digest('hex', 'short')
  hmac.digest('hex', 'a longer one', randomBytes(1_000))
  key.fill(0)
  t.equal(hmac.digest('hex', 'short'), first)
})

t.test('its key shows in no log', async (t) => {
  const shown =
    inspect(new Hmac('hush'), { depth: null, showHidden: true }) + JSON.stringify(new Hmac('hush'))
  t.notMatch(shown, 'hush')
  t.notMatch(shown, /68 75 73 68/)
})
