import { performance } from 'node:perf_hooks'
import t from 'tap'
import { memoryStore } from '../../lib/index.js'
import { build } from '../helpers/build.js'
import { callWebhook } from '../helpers/payloads.js'

t.test('a request that is repeated asks for the same listen, until its socket has come', async (t) => {
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
      t.notOk(seen.has(id), 'an id of its own')
      seen.add(id)
    }
  }
})

t.test('the same body a thousand times costs no more at the end than at the beginning', async (t) => {
  const app = await build(t)
  app.jambonz.webhook('/call', async () => [{ verb: 'listen' }])
  const payload = callWebhook({ call_sid: 'c1' })
  const took: number[] = []
  for (let i = 0; i < 1_000; i++) {
    const begun = performance.now()
    await app.inject({ method: 'POST', url: '/call', payload })
    took.push(performance.now() - begun)
  }
  const median = (part: number[]) => part.sort((a, b) => a - b)[part.length >> 1] ?? 0
  t.ok(median(took.slice(-200)) < median(took.slice(100, 300)) * 5 + 1)
  t.equal((await app.jambonz.calls.get('c1'))?.listens.length, 1)
})
