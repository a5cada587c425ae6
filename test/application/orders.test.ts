import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/store/redis.js'
import { serving } from '../helpers/build.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { keepingLogger } from '../helpers/log.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

/** Returns a client of Redis. It disconnects at the end of the test. */
function connected(t: Test, url: string): Redis {
  const client = new Redis(url)
  t.teardown(() => client.disconnect())
  return client
}

t.test(
  'an order between instances is obeyed once, by its addressee, even if the order is published again',
  { skip: noRedis() },
  async (t) => {
    const redis = await startRedis(t)
    const client = () => connected(t, redis.url)
    const { logger, said } = keepingLogger()
    const instance = () =>
      serving(
        t,
        (app) => {
          app.jambonz.webhook('/call', async () => [{ verb: 'say', text: 'hello' }])
        },
        {
          store: redisStore(client()),
          secret: 'the same on all instances',
          fastify: { loggerInstance: logger }
        }
      )
    const published: Array<{ channel: string; message: string }> = []
    const spy = client()
    spy.on('pmessage', (_pattern: string, channel: string, message: string) => {
      if (message.includes('"order"')) published.push({ channel, message })
    })
    await spy.psubscribe('*')

    const [holder, other, sender] = [await instance(), await instance(), await instance()]
    const socket = await JambonzSocket.open(t, `${holder.url}/call`)
    await socket.ask('session:new')
    const { calls } = sender.app.jambonz
    await calls.command('call-1', 'first', {})
    await until(() => published.length === 1, 'the order')

    // jambonz reconnects, so the call of the order moves to another instance.
    const next = await JambonzSocket.open(t, `${other.url}/call`)
    await next.ask('session:reconnect')
    const publisher = client()
    const { channel, message } = published[0]!
    await publisher.publish(channel, message)
    await calls.command('call-1', 'second', {})
    const to = (text: string) => /"to":"([^"]+)"/.exec(text)![1]!
    await until(() => published.length === 3, 'the orders')
    await publisher.publish(channel, message.replace(to(message), to(published[2]!.message)))
    await calls.command('call-1', 'third', {})
    await until(() => next.commands.length >= 2, 'the commands')

    t.strictSame(
      socket.commands.map(({ command }) => command),
      ['first']
    )
    t.strictSame(
      next.commands.map(({ command }) => command),
      ['second', 'third']
    )
    t.equal(said('an order was refused').length, 1)
    t.equal(said('could not be decrypted').length, 1)
  }
)

t.test(
  'a program that can publish in Redis can neither read nor forge the answer to an order',
  { skip: noRedis() },
  async (t) => {
    const redis = await startRedis(t)
    const client = () => connected(t, redis.url)
    const stores = [redisStore(client()), redisStore(client())]
    const [holder, sender] = [await instance(stores[0]), await instance(stores[1])]
    async function instance(store: (typeof stores)[number] | undefined) {
      return await serving(
        t,
        (app) => {
          app.jambonz.webhook('/call', async () => [{ verb: 'say', text: 'hello' }])
        },
        { store, secret: 'the same on all instances' }
      )
    }
    const socket = await JambonzSocket.open(t, `${holder!.url}/call`)
    await socket.ask('session:new')
    const published: string[] = []
    const spy = client()
    await spy.psubscribe('*')
    spy.on('pmessage', (_pattern: string, _channel: string, message: string) => published.push(message))
    const { calls } = sender!.app.jambonz
    await t.rejects(calls.redirect('call-1', [{ verb: 'secretive' } as never]), {
      code: 'FST_JAMBONZ_VERB_INVALID',
      message: /secretive/
    })
    await until(() => published.some((message) => message.includes('"ordered"')), 'the outcome')
    t.notMatch(published.join('\n'), /secretive/)

    const forger = client()
    spy.on('pmessage', (_pattern: string, channel: string, message: string) => {
      const { order, id, from } = JSON.parse(message) as Record<string, unknown>
      if (order === undefined) return
      for (const outcome of [undefined, { reached: true }, JSON.stringify({ reached: true }), order]) {
        forger.publish(channel, JSON.stringify({ ordered: id, to: from, outcome }))
      }
    })
    // No instance holds the call, so only the forger answers the order.
    await stores[1]!.write('call-1', [{ patch: { call: { holder: 'nobody' } } }])
    await t.rejects(calls.command('call-1', 'never', {}), { code: 'FST_JAMBONZ_NOT_REACHED' })
    t.strictSame(socket.commands, [])
  }
)

t.test(
  'an order whose call has no socket just now is sent when jambonz reconnects to the same or to another instance',
  { skip: noRedis() },
  async (t) => {
    const redis = await startRedis(t)
    const instance = async () => {
      const store = redisStore(connected(t, redis.url))
      return await serving(
        t,
        (app) => {
          app.jambonz.webhook('/call', async () => [{ verb: 'say', text: 'hello' }])
        },
        { store, secret: 'the same on all instances' }
      )
    }
    const channel: string[] = []
    const spy = connected(t, redis.url)
    spy.on('pmessage', (_pattern: string, _channel: string, message: string) => channel.push(message))
    await spy.psubscribe('*')
    const [holder, next, sender] = [await instance(), await instance(), await instance()]
    const socket = await JambonzSocket.open(t, `${holder.url}/call`)
    await socket.ask('session:new')
    const { calls } = sender.app.jambonz
    const reconnected = async ({ url }: typeof holder, command: string): Promise<void> => {
      const again = await JambonzSocket.open(t, `${url}/call`)
      const ordered = calls.command('call-1', command, {})
      const published = channel.filter((message) => message.includes('"order"')).length
      await until(
        () => channel.filter((message) => message.includes('"order"')).length > published,
        'the order'
      )
      await again.ask('session:reconnect')
      await ordered
      await until(() => again.commands.length > 0, 'the command')
      t.match(again.commands, [{ command }])
    }
    socket.drop()
    await reconnected(holder, 'to the same instance')
    await holder.app.close()
    await reconnected(next, 'to another instance')
  }
)
