import t from 'tap'
import { applicationOf, verbsToGoOn } from '../../lib/correlation/handover.js'
import { shown } from '../../lib/verbs/validate.js'
import { Hmac, issuerTag } from '../../lib/model/tokens.js'
import type { Listen, StoredCall } from '../../lib/model/schema.js'

const AUTH = { username: 'jambonz', password: 'ours' }
const listen = (more: object = {}) => ({
  verb: 'listen',
  url: '/audio/l-1.AAAAAAAAAAAAAAAAAAAAAA',
  wsAuth: AUTH,
  metadata: { jambonzListenId: 'l-1' },
  ...more
})

t.test('verbs that contain credentials of other services are not stored', async (t) => {
  const rows: object[] = [
    { verb: 'transcribe', recognizer: { vendor: 'x', sttApiKey: 'k' } },
    { verb: 'message', headers: { Authorization: 'x' } },
    { verb: 'message', headers: [{ 'x-api-key': 'k' }] },
    { verb: 'llm', auth: { apiKey: 'k' } },
    { verb: 'llm', llmOptions: { session: { client_secret: 'k' } } },
    { verb: 'tag', data: { deep: [{ deeper: { accessToken: 't' } }] } },
    { verb: 'tag', data: { session_token: 't' } },
    { verb: 'tag', data: { Passwd: 'p' } },
    { verb: 'tag', data: { value: 'Bearer eyJhbGciOiJIUzI1NiJ9.e30.x' } },
    { verb: 'play', url: 'https://user:pass@files.example.com/x.wav' },
    { verb: 'play', url: 'https://files.example.com/x.wav?X-Amz-Signature=abc' },
    { verb: 'dial', actionHook: '/x?api_key=k', target: [] },
    { verb: 'dial', target: [{ type: 'sip', sipUri: 'sip:a@b', auth: { username: 'a', password: 'b' } }] }
  ]
  for (const verb of rows) {
    t.equal(applicationOf([listen(), verb], AUTH), undefined, JSON.stringify(verb))
    t.equal(applicationOf([listen({ metadata: { jambonzListenId: 'l-1', verb } })], AUTH), undefined)
  }
  t.equal(applicationOf([listen({ wsAuth: { username: 'x', password: 'y' } })], AUTH), undefined)
})

t.test(
  'if verbs are not stored because of credentials, the error does not show the credentials',
  async (t) => {
    const names = [
      'password',
      'passwd',
      'passphrase',
      'pass_code',
      'client_secret',
      'credentials',
      'Authorization',
      'proxy-authorisation',
      'bearerToken',
      'Set-Cookie',
      'X-Signature',
      'private_key',
      'privateKey',
      'access-key',
      'accessKeyId',
      'apiKey',
      'x-api-key',
      'subscription_key',
      'token',
      'sessionTokens',
      'auth',
      'wsAuth',
      'ws_auth',
      'basicAuth',
      'basic-auth',
      'pwd',
      'pin',
      'key',
      'sig',
      'jwt'
    ]
    for (const name of names) {
      const value = { [name]: 'k-271828' }
      t.notMatch(shown('', value), /271828/, `${name} in an object`)
      t.notMatch(shown(`/tag/${name}`, 'k-271828'), /271828/, `${name} in the path`)
      t.notMatch(shown('', { url: `/x?${name}=k-271828&b=1` }), /271828/, `${name} in a url`)
      t.equal(applicationOf([listen(), { verb: 'tag', data: value }], AUTH), undefined, `${name} is not kept`)
    }
    for (const text of ['Bearer eyJhbGciOiJIUzI1NiJ9.e30.x', 'https://user:pass@files.example.com/x.wav']) {
      t.notMatch(shown('', { text }), /eyJh|user:pass/, text)
      t.equal(applicationOf([listen(), { verb: 'tag', data: { text } }], AUTH), undefined, text)
    }
    const harmless = { maxTokens: 5, max_tokens: 6, finishOnKey: '#', author: 'Ann', monkey: 1 }
    t.equal(shown('', harmless), JSON.stringify(harmless), 'values that are no credentials are shown')
    t.ok(applicationOf([listen(), { verb: 'tag', data: harmless }], AUTH), 'harmless values are stored')
  }
)

t.test('verbs whose text only mentions credentials are stored', async (t) => {
  const verbs = [
    listen({ finishOnKey: '#', passDtmf: true }),
    { verb: 'say', text: 'Basic training: your password is secret. Write to ann@example.com.' },
    { verb: 'llm', llmOptions: { maxTokens: 100, author: 'x' } },
    { verb: 'dial', target: [{ type: 'user', name: 'ann@sip.example.com' }] }
  ]
  t.ok(applicationOf(verbs, AUTH))
})

t.test('stored verbs contain no signed paths or keys; paths are signed again when sent', async (t) => {
  const verbs = [
    listen({ actionHook: { url: '/done?listen=l-1&key=BBBBBBBBBBBBBBBBBBBBBB#rc=1', method: 'GET' } })
  ]
  const application = applicationOf(verbs, AUTH)
  t.notMatch(application, /AAAAAA|BBBBBB|ours/)
  const call = { listens: [{ id: 'l-1', path: '/audio' }], application } as unknown as StoredCall
  const signer = { secret: new Hmac('s'), issuer: issuerTag('i') }
  const again = verbsToGoOn(call, { id: 'l-1', audio: {} } as Listen, AUTH, signer)
  t.match(again, [
    {
      url: /^\/audio\/l-1\.[\w-]{22}$/,
      wsAuth: AUTH,
      actionHook: { url: /^\/done\?listen=l-1&key=[\w-]{22}#rc=1$/ }
    }
  ])
})

t.test('the size of stored verbs is measured in bytes', async (t) => {
  const say = (characters: number) => ({ verb: 'say', text: 'ü'.repeat(characters) })
  t.ok(applicationOf([listen(), say(15_000)], AUTH))
  t.equal(applicationOf([listen(), say(17_000)], AUTH), undefined)
})
