import { createHmac, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { Hmac } from '../../lib/model/tokens.js'

t.test('a text and the bytes after it are signed as one message', async (t) => {
  const rest = randomBytes(1_200)
  const expected = createHmac('sha256', 'Zoë’s')
    .update(Buffer.concat([Buffer.from('1700000000.'), rest]))
    .digest('hex')
  t.equal(new Hmac('Zoë’s').digest('hex', '1700000000.', rest), expected)
})

t.test('keys and messages of any length are signed as by node:crypto', async (t) => {
  const rests = [undefined, ...[0, 1, 1_200, 8_000, 8_192, 100_000].map((length) => randomBytes(length))]
  for (const key of ['k', 'k'.repeat(64), 'k'.repeat(65), 'ü'.repeat(200)]) {
    const hmac = new Hmac(key)
    for (const text of ['', 'short', 'Zoë’s 🎧 '.repeat(3), 'x'.repeat(8_192), 'ü\ud800'.repeat(1_000)]) {
      for (const rest of rests) {
        const expected = createHmac('sha256', key)
          .update(text)
          .update(rest ?? '')
        t.equal(hmac.digest('base64url', text, rest), expected.digest('base64url'))
      }
    }
  }
})

t.test('the memory of a key may be overwritten after the Hmac was created', async (t) => {
  const key = Buffer.from('a key')
  const hmac = new Hmac(key)
  const first = hmac.digest('hex', 'short')
  key.fill(0)
  t.equal(hmac.digest('hex', 'short'), first)
})

t.test('no log shows the key', async (t) => {
  const shown =
    inspect(new Hmac('hush'), { depth: null, showHidden: true }) + JSON.stringify(new Hmac('hush'))
  t.notMatch(shown, 'hush')
  t.notMatch(shown, /68 75 73 68/)
})

t.test('a name depends on the key, the text and all bytes after it, and is no part of an HMAC', async (t) => {
  for (const length of [0, 1_200, 8_192, 100_000]) {
    const rest = randomBytes(length)
    const other = Buffer.concat([rest, Buffer.from('.')])
    const hmac = new Hmac('a key')
    const names = [
      hmac.name('listen', rest),
      hmac.name('listen', other),
      hmac.name('liste', rest),
      new Hmac('a kez').name('listen', rest),
      hmac.digest('hex', 'listen', rest)
    ]
    t.equal(new Set(names).size, names.length, `${length} bytes`)
    t.equal(hmac.name('listen', rest), names[0])
  }
})
