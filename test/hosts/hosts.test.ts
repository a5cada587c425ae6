import { readFile } from 'node:fs/promises'
import t from 'tap'
import type { Listen } from '../../lib/index.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { folder } from '../helpers/build.js'
import { HOSTS } from './hosts.js'

const SECRET = 'the secret of the webhooks'
/**
 * ms of audio that may be missing from a recording, because jambonz drops its buffer when it closes the
 * socket
 */
const TOLERANCE = 200

for (const { name, build } of HOSTS) {
  t.test(`in a host with ${name}, a call is answered and recorded, and its hook is answered`, async (t) => {
    const ended: Listen[] = []
    let gathered: unknown
    const directory = folder()
    const { app, hook } = await build({ webhookSecret: SECRET, recording: { directory } }, (scope) => {
      scope.jambonz.webhook('/call', async () => [
        {
          verb: 'gather',
          input: ['digits'],
          numDigits: 1,
          timeout: 1,
          actionHook: `${scope.prefix}/gathered`
        },
        { verb: 'listen', actionHook: '/done/42', maxLength: 1 }
      ])
      scope.jambonz.webhook('/gathered', async ({ body }) => {
        gathered = body
      })
      scope.jambonz.actionHook('/done/:order', async ({ listen }) => {
        ended.push(listen)
        return [{ verb: 'hangup' }]
      })
    })
    t.teardown(() => app.close())
    const story = await simulateCall({ app, hook, webhookSecret: SECRET })
    t.strictSame(story.errors, [])
    t.match(gathered, { call_sid: story.callSid }, 'the hook of the gather reaches its own handler')
    t.match(ended, [{ connected: true, state: 'ended' }])
    const [{ recording }] = ended as [Listen]
    t.ok(Number(recording?.durationMs) > 1_000 - TOLERANCE, `${recording?.durationMs} ms are recorded`)
    t.ok((await readFile(String(recording?.location))).length > 44)
  })
}
