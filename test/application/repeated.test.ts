import t from 'tap'
import { memoryStore } from '../../lib/index.js'
import { build, listening } from '../helpers/build.js'
import { cpuMs } from '../helpers/cpu.js'
import { callWebhook, signature } from '../helpers/payloads.js'
import { statusOf } from '../helpers/socket.js'

t.test('a repeated request returns the same listen until its socket opens', async (t) => {
  const store = memoryStore()
  const app = await build(t, { store })
  app.jambonz.webhook('/call', async () => [{ verb: 'listen' }, { verb: 'listen' }])
  const payload = callWebhook({ call_sid: 'c1' })
  const ask = async () => {
    const response = await app.inject({ method: 'POST', url: '/call', payload })
    return response.json<Array<{ id: string }>>().map(({ id }) => id)
  }
  const first = await ask()
  t.same(await ask(), first)
  const seen = new Set(first)
  for (let i = 0; i < 20; i++) {
    const ids = (await app.jambonz.calls.get('c1'))?.listens.map(({ id }) => id) ?? []
    for (const id of ids) await store.write('c1', [{ patch: { listens: [{ id, state: 'ended' }] } }])
    const next = await ask()
    t.same(await ask(), next)
    for (const id of next) {
      t.notOk(seen.has(id), 'each new listen has a new id')
      seen.add(id)
    }
  }
})

t.test(
  'after a thousand requests with the same body, a request takes no more time than at first',
  async (t) => {
    const app = await build(t)
    app.jambonz.webhook('/call', async () => [{ verb: 'listen' }])
    const payload = callWebhook({ call_sid: 'c1' })
    const took: number[] = []
    for (let i = 0; i < 1_000; i++) {
      const begun = cpuMs()
      await app.inject({ method: 'POST', url: '/call', payload })
      took.push(cpuMs() - begun)
    }
    const median = (part: number[]) => part.sort((a, b) => a - b)[part.length >> 1] ?? 0
    t.ok(median(took.slice(-200)) < median(took.slice(100, 300)) * 5 + 1)
    t.equal((await app.jambonz.calls.get('c1'))?.listens.length, 1)
  }
)

t.test('a signed request that is replayed adds neither calls nor listens', async (t) => {
  const secret = 'of the account'
  const app = await build(t, { webhookSecret: secret })
  app.jambonz.webhook('/call', async () => [{ verb: 'config', listen: { enable: true } }, { verb: 'listen' }])
  const base = await listening(app)
  const payload = JSON.stringify(callWebhook({ call_sid: 'c1' }))
  const signedAt = Math.floor(Date.now() / 1_000)
  const headers = {
    'content-type': 'application/json',
    'jambonz-signature': signature(payload, secret, signedAt)
  }
  const ask = async (signed = headers) => {
    const response = await app.inject({ method: 'POST', url: '/call', payload, headers: signed })
    const verbs = response.json<Array<{ url?: string; listen?: { url: string } }>>()
    return verbs.map(({ url, listen }) => `${base}${url ?? listen?.url}`)
  }
  const opened = { first: 0, later: 0 }
  const took: number[] = []
  for (let i = 0; i < 900; i++) {
    const begun = cpuMs()
    const urls = await ask()
    took.push(cpuMs() - begun)
    if (i < 20 || i % 100 === 0) {
      for (const url of urls) opened[i < 20 ? 'first' : 'later'] += Number((await statusOf(url)) === 101)
    }
  }
  t.ok(opened.first > 2 && opened.later === 0, 'a replayed request opens no more sockets')
  t.ok(Number((await app.jambonz.calls.get('c1'))?.listens.length) <= 2 * 4)
  const median = (part: number[]) => part.sort((a, b) => a - b)[part.length >> 1] ?? 0
  t.ok(median(took.slice(-200)) < median(took.slice(100, 300)) * 5 + 1)
  const again = { ...headers, 'jambonz-signature': signature(payload, secret, signedAt + 1) }
  for (const url of await ask(again)) t.equal(await statusOf(url), 101, "jambonz' next request opens sockets")
})
