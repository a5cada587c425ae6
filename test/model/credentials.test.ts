import t from 'tap'
import { hasCredentials } from '../../lib/model/credentials.js'

const has = (value: unknown) => hasCredentials(value, JSON.stringify(value))

t.test('a credential is found by the name of its property or of its url parameter', (t) => {
  for (const name of [
    'password',
    'pass_phrase',
    'passcode',
    'clientSecret',
    'credentials',
    'Authorization',
    'bearerName',
    'cookie',
    'x-signature',
    'privateKey',
    'subscription_key',
    'token',
    'accessTokens',
    'auth',
    'wsAuth',
    'basic-auth',
    'pwd',
    'pin',
    'KEY',
    'sig',
    'jwt'
  ]) {
    t.ok(has([{ verb: 'say', deep: [{ [name]: 'x' }] }]), name)
    t.ok(has({ url: `https://voice.example.com/done?a=1&${name}=x` }), `${name} in a url`)
    t.ok(has(`/done?${name}=`), `${name} as first parameter`)
  }
  t.end()
})

t.test('a credential is found by its value', (t) => {
  for (const value of [
    'Bearer abcdefghijklmnop',
    'basic\nYWxhZGRpbjpvcGVuIHNlc2FtZQ==',
    'Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==',
    'wss://user:pass"word@voice.example.com'
  ]) {
    t.ok(has({ header: [value] }), value)
  }
  t.end()
})

t.test('text in verbs that only looks like a credential is not taken for a credential', (t) => {
  for (const value of [
    { verb: 'gather', finishOnKey: '#', maxTokens: 5, max_token: 1, author: 'sign' },
    { verb: 'say', text: 'Enter your pin, then press the pound key. The password is no secret.' },
    { verb: 'dial', target: [{ type: 'sip', sipUri: 'sip:alice@example.com' }] },
    { url: 'https://voice.example.com/done?keys=1&listen=3c8e' }
  ]) {
    t.notOk(has(value), JSON.stringify(value))
  }
  t.end()
})
