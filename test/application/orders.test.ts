import { Redis } from 'ioredis'
import t from 'tap'
import { redisStore } from '../../lib/store/redis.js'
import { serving } from '../helpers/build.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { keepingLogger } from '../helpers/log.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

t.test(
  'an order is taken once, by the instance it was sent to, even if it is published again',
  { skip: noRedis() },
  async (t) => {
    const redis = await startRedis(t)
    const client = () => {
      const one = new Redis(redis.url)
      t.teardown(() => one.disconnect())
      return one
    }
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

    // Its call goes on at another instance.
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
    t.equal(said('could not be opened').length, 1)
  }
)
