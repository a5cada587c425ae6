import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { checkCall, RestApi, withAbsoluteHooks } from '../../lib/application/control/RestApi.js'

// The client must handle every answer that jambonz' REST API, or a proxy in front of it, may give.

const TOKEN = 'sesame'
const HANG_UP = { call_status: 'completed' }
const CALL = { from: '1', to: { type: 'phone', number: '2' } }

/** Starts a server. Returns a client of the server, and `urls` with the method and url of each request. */
async function restApi(
  t: Tap,
  answer: RequestListener,
  timeout = 10_000
): Promise<{ api: RestApi; urls: string[] }> {
  const urls: string[] = []
  const server = createServer((request, response) => {
    urls.push(`${request.method} ${request.url}`)
    answer(request, response)
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    api: new RestApi({ baseUrl: `http://127.0.0.1:${port}`, accountSid: 'acc', token: TOKEN, timeout }),
    urls
  }
}

type Tap = Pick<typeof t, 'teardown'>

t.test('if the body of an answer never ends, the client stops reading and throws an error', async (t) => {
  // Long enough for a request to arrive on a busy machine.
  const timeout = 2_000
  const stalls = await restApi(
    t,
    (_request, response) => {
      response.writeHead(500)
      response.write('first words')
    },
    timeout
  )
  const error = { code: 'FST_JAMBONZ_API', message: /timeout/ }
  await Promise.all([
    t.rejects(stalls.api.updateCall('call-1', HANG_UP), error),
    t.rejects(stalls.api.createCall(CALL), error)
  ])
  t.equal(stalls.urls.length, 2, 'the request is not repeated, because it has reached jambonz')

  const endless = await restApi(
    t,
    (_request, response) => {
      response.writeHead(500)
      const write = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      }
      response.on('drain', write)
      write()
    },
    60_000
  )
  await t.rejects(endless.api.updateCall('call-1', HANG_UP), {
    code: 'FST_JAMBONZ_API_REFUSED',
    message: /xxx/
  })
})

t.test('if the answer to POST has no sid, the error says that the call may have been placed', async (t) => {
  for (const body of ['', '<html>a proxy</html>', 'null', '{}', '{"sid":5}', '[]', '{"sid":"half']) {
    const { api } = await restApi(t, (_request, response) => response.writeHead(201).end(body))
    await t.rejects(api.createCall(CALL), {
      code: 'FST_JAMBONZ_API_REFUSED',
      message: `answered POST Calls with status 201: the call may have been placed, but the answer names no sid: ${body}`
    })
  }
})

t.test('an error shows the answer of the server in one line, without the token', async (t) => {
  const { api } = await restApi(t, ({ headers }, response) => {
    response.writeHead(422).end(`<html>\n\u001b[31m${headers.authorization}\r\n`)
  })
  await t.rejects(api.updateCall('call-1', HANG_UP), { message: /status 422: <html> \[31mBearer … $/ })
})

t.test('the client requests no path outside of /Calls, whatever the callSid', async (t) => {
  const { api, urls } = await restApi(t, (_request, response) => response.end())
  for (const callSid of ['.', '..']) t.equal(await api.updateCall(callSid, HANG_UP), false)
  t.equal(await api.updateCall('../x?y#z', HANG_UP), true)
  t.strictSame(urls, ['PUT /v1/Accounts/acc/Calls/..%2Fx%3Fy%23z'])
})

t.test('a call that jambonz would refuse, or misunderstand, is not asked for', async (t) => {
  const whole = { ...CALL, call_hook: '/call' }
  const rows: Array<[unknown, RegExp]> = [
    [undefined, /calls\.create\(\)\.from: is missing/],
    [{ ...whole, from: 15550100 }, /\.from: a string that is not empty, not 15550100/],
    [{ ...whole, to: '15550100' }, /\.to: an object, not "15550100"/],
    [
      { ...whole, to: { number: '2' } },
      /\.to\.type: is missing: it has to be one of "phone", "user", "sip", "teams"/
    ],
    [
      { ...whole, to: { type: 'phon', number: '2' } },
      /\.to\.type: one of phone, user, sip, teams, not "phon"/
    ],
    [{ ...whole, to: { type: 'phone', name: '2' } }, /\.to\.number: is missing/],
    [{ ...whole, to: { type: 'sip', sipUri: 5 } }, /\.to\.sipUri: a string that is not empty, not 5/],
    [CALL, /call_hook: is missing: pass call_hook or application_sid/],
    [{ ...CALL, callHook: '/call' }, /\.callHook: there is no such property: did you mean "call_hook"/],
    [{ ...whole, call_hook: { uri: '/call' } }, /\.call_hook: one of a string that is not empty, an object/],
    [{ ...whole, timeout: '60' }, /\.timeout: a whole number, not "60" \(seconds\)/],
    [{ ...whole, amd: true }, /\.amd: an object, not true/]
  ]
  for (const [call, message] of rows) {
    t.throws(() => checkCall(call as never), { code: 'FST_JAMBONZ_OPTIONS', message })
  }
  checkCall({ ...whole, speech_synthesis_vendor: 'google', future: [1], amd: null, headers: { 'X-A': 'b' } })
  checkCall({ from: '1', to: { type: 'user', name: 'ann' }, application_sid: 'a sid' })
})

t.test('a path as the hook of a new call becomes absolute', async (t) => {
  const urlOf = (path: string): string => `https://voice.example.com/v1${path}`
  const hooks = { call_hook: '/call?a=1', call_status_hook: { url: '/status', method: 'POST' } }
  t.strictSame(withAbsoluteHooks({ ...CALL, ...hooks }, urlOf), {
    ...CALL,
    call_hook: 'https://voice.example.com/v1/call?a=1',
    call_status_hook: { url: 'https://voice.example.com/v1/status', method: 'POST' }
  })
  const absolute = { ...CALL, call_hook: 'wss://a.example/call' }
  t.match(
    withAbsoluteHooks(absolute, () => undefined),
    absolute
  )
  const relative = { ...CALL, call_hook: '/call' }
  t.match(
    withAbsoluteHooks(relative, () => undefined),
    relative,
    'without publicUrl the path stays unchanged'
  )
})
