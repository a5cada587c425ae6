// An instance that holds listens until it is killed. argv: url of Redis, prefix of the keys, name of the
// instance, heartbeat in ms, then callSid and listenId of each listen.
import { writeSync } from 'node:fs'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { redisStore } from '../../lib/store/redis.js'
import { withVerbs } from './storeVerbs.js'

const [url = '', prefix = '', instance = '', heartbeat = '', ...listens] = process.argv.slice(2)
const store = withVerbs(redisStore(new Redis(url), { prefix, heartbeat: Number(heartbeat) }), instance)
await store.start({ callTtl: 60_000, instance, logger: Fastify().log })
for (let i = 0; i < listens.length; i += 2) {
  const [callSid = '', listenId = ''] = listens.slice(i)
  await store.claim(callSid, listenId)
  await store.update(callSid, { listens: [{ id: listenId, state: 'streaming', connected: true }] })
}
writeSync(1, 'holding\n')
