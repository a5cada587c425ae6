import t from 'tap'
import { Hmac } from '../../lib/model/tokens.js'
import { verifySignature } from '../../lib/application/authentication.js'
import { signature } from '../helpers/payloads.js'

const body = JSON.stringify({ call_sid: 'c1', name: 'Zoë "Ω"' })
const secret = 'whsec-1'
const check =
  (header: string | undefined, secrets = [secret], raw = Buffer.from(body)) =>
  () =>
    verifySignature(
      header,
      raw,
      secrets.map((secret) => new Hmac(secret)),
      300
    )
const now = Math.floor(Date.now() / 1000)

t.test('a body that jambonz signed is accepted', async (t) => {
  t.doesNotThrow(check(signature(body, secret)))
})

t.test('a signature is accepted if it matches one of several secrets', async (t) => {
  t.doesNotThrow(check(signature(body, secret), ['new-secret', secret]))
})

t.test('a header is accepted if one of its v1 signatures is right', async (t) => {
  t.doesNotThrow(check(`t=${now},v1=${'0'.repeat(64)},${signature(body, secret, now).split(',')[1]}`))
})

t.test('a signature in capital letters is accepted', async (t) => {
  const [time, v1 = ''] = signature(body, secret).split(',v1=')
  t.doesNotThrow(check(`${time},v1=${v1.toUpperCase()}`))
})

t.test('a signature is refused', async (t) => {
  const now = Math.floor(Date.now() / 1000)
  const rows: Array<[why: string, header: string | undefined, code: string]> = [
    ['when it is missing', undefined, 'FST_JAMBONZ_SIGNATURE_MISSING'],
    ['when it is empty', '', 'FST_JAMBONZ_SIGNATURE_MALFORMED'],
    ['when it has no time', 'v1=' + '0'.repeat(64), 'FST_JAMBONZ_SIGNATURE_MALFORMED'],
    ['when it has no v1', `t=${now}`, 'FST_JAMBONZ_SIGNATURE_MALFORMED'],
    ['when its hash is cut short', `t=${now},v1=abcd`, 'FST_JAMBONZ_SIGNATURE_MALFORMED'],
    ['when its hash is no hash', `t=${now},v1=${'z'.repeat(64)}`, 'FST_JAMBONZ_SIGNATURE_MALFORMED'],
    ['when it is of another secret', signature(body, 'other'), 'FST_JAMBONZ_SIGNATURE_MISMATCH'],
    ['when it is of another body', signature(body + ' ', secret), 'FST_JAMBONZ_SIGNATURE_MISMATCH'],
    [
      'when its time was changed',
      signature(body, secret, now - 10).replace(`t=${now - 10}`, `t=${now}`),
      'FST_JAMBONZ_SIGNATURE_MISMATCH'
    ],
    ['when it is 301 s old', signature(body, secret, now - 301), 'FST_JAMBONZ_SIGNATURE_STALE'],
    ['when it is 330 s ahead', signature(body, secret, now + 330), 'FST_JAMBONZ_SIGNATURE_STALE']
  ]
  for (const [why, header, code] of rows) t.throws(check(header), { code, statusCode: 401 }, why)
})
