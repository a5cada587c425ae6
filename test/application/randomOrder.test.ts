import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { serving } from '../helpers/build.js'
import { JambonzSocket } from '../helpers/jambonzSocket.js'
import { until } from '../helpers/until.js'

const say = (text: string) => ({ verb: 'say' as const, text })

/** Messages that jambonz may send in any order. `true`: jambonz waits for an ack of the message. */
const MESSAGES: ReadonlyArray<{
  type: string
  hook?: string
  data?: object
  named?: boolean
  acked: boolean
}> = [
  { type: 'session:new', acked: true },
  { type: 'session:reconnect', acked: true },
  { type: 'session:redirect', hook: '/of/c/call', acked: true },
  { type: 'session:redirect', hook: '/of/c/call', named: false, acked: true },
  { type: 'verb:hook', hook: '/of/b/menu/1', acked: true },
  { type: 'verb:hook', hook: 'menu/2?q=%C3%A4', acked: true },
  { type: 'verb:hook', hook: '/of/b/done?listen=nonsense', acked: true },
  { type: 'verb:hook', hook: 'done', data: { digits: '1' }, acked: true },
  { type: 'verb:hook', hook: '/nowhere', acked: true },
  { type: 'call:status', data: { call_status: 'in-progress' }, acked: false },
  { type: 'verb:status', data: { event: 'starting' }, acked: false }
]
const CALLS = 30
const LENGTH = 20

t.test('messages in any order get exactly one ack each if they need an ack', async (t) => {
  let state = 7
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 16) % below
  }
  const { url } = await serving(t, (app) => {
    app.register(
      async (scope) => {
        scope.addHook('onRequest', async () => {})
        scope.addHook('preHandler', async () => {})
        scope.addHook('onSend', async (_request, _reply, payload) => payload)
        scope.jambonz.webhook('/call', async () => [say('hello')])
        scope.jambonz.webhook('/menu/:n', async ({ params }) => {
          for (let turns = random(20); turns > 0; turns--) await turn()
          return [say(JSON.stringify(params))]
        })
        scope.jambonz.actionHook('/done', async () => [say('done')])
        scope.jambonz.statusHook('/status')
      },
      { prefix: '/of/:tenant' }
    )
  })
  for (let call = 0; call < CALLS; call++) {
    const socket = await JambonzSocket.open(t, `${url}/of/a%20b/call?x=1`)
    const wanted: string[] = []
    const sent: string[] = []
    for (let n = 0; n < LENGTH; n++) {
      const { type, hook, data = {}, named = true, acked } = MESSAGES[random(MESSAGES.length)]!
      const callSid = `call-${call}`
      const msgid = socket.send(
        type,
        { ...data, call_sid: callSid },
        { callSid: named ? callSid : null, ...(hook !== undefined && { hook }) }
      )
      sent.push(type)
      if (acked) wanted.push(msgid)
    }
    await until(() => wanted.every((msgid) => socket.ackOf(msgid)), `the acks of ${sent.join(', ')}`)
    const acks = socket.sent.filter(({ type }) => type === 'ack').map(({ msgid }) => msgid)
    t.strictSame(acks.sort(), wanted.sort())
    socket.close(1000)
  }
})
