import t from 'tap'
import { RoundTrips } from '../../lib/audio/socket/pings.js'
import { webSocketPair } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

const PINGS = 1_000

t.test('unanswered pings share one pong listener, and only the latest pings are remembered', async (t) => {
  const { socket, client } = await webSocketPair(t, { autoPong: false })
  const pings: Buffer[] = []
  client.on('ping', (data) => pings.push(data))
  const roundTrips = new RoundTrips(socket)
  const before = socket.listenerCount('pong')
  const answered: number[] = []
  for (let i = 0; i < PINGS; i++) roundTrips.ask(() => answered.push(i))
  t.equal(socket.listenerCount('pong'), before + 1)

  await until(() => pings.length === PINGS, 'all pings')
  for (const ping of pings) client.pong(ping)
  await until(() => answered.includes(PINGS - 1), 'the last pong')
  t.strictSame(
    answered,
    Array.from({ length: 64 }, (_, i) => PINGS - 64 + i)
  )
  t.ok(roundTrips.leastMs > 0)
})

t.test('a pong is reported once, to the sender of the ping that it answers', async (t) => {
  const { socket, client } = await webSocketPair(t, { autoPong: false })
  const pings: Buffer[] = []
  client.on('ping', (data) => pings.push(data))
  const roundTrips = new RoundTrips(socket)
  const answered: string[] = []
  roundTrips.ask(() => answered.push('first'))
  roundTrips.ask(() => answered.push('second'))
  await until(() => pings.length === 2, 'both pings')
  for (const data of [Buffer.from('of somebody else'), pings[1], pings[1]]) client.pong(data)
  await until(() => answered.length > 0, 'a pong')
  client.pong(pings[0])
  await until(() => answered.includes('first'), 'the other pong')
  t.strictSame(answered, ['second', 'first'])
})
