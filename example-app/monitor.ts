import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'

const DialledSchema = Type.Object({ dial_call_status: Type.String() })

/** Connects the caller with a callee, and records both: the caller left, the callee right. */
export default async function monitor(app: FastifyInstance): Promise<void> {
  // The jambonz portal asks for this number when the webhook's url is entered there.
  const env = {
    TARGET: { type: 'string', description: 'whom to dial: a phone number, or a sip: address', required: true }
  } as const

  app.jambonz.webhook('/monitor', { env }, async ({ call }) => {
    const target = call.envVars?.TARGET
    if (typeof target !== 'string') {
      return [
        { verb: 'say', text: 'Nobody has said whom to call. Enter a target in the portal.' },
        { verb: 'hangup' }
      ]
    }
    return [
      {
        verb: 'dial',
        target: [
          target.startsWith('sip:') ? { type: 'sip', sipUri: target } : { type: 'phone', number: target }
        ],
        answerOnBridge: true,
        actionHook: '/monitor/dialled',
        listen: {
          mixType: 'stereo',
          passDtmf: true,
          metadata: { line: 'monitor', caller: call.from, callee: target }
        }
      }
    ]
  })

  app.jambonz.webhook('/monitor/dialled', { schema: { body: DialledSchema } }, async ({ body }) =>
    body.dial_call_status === 'completed'
      ? [{ verb: 'hangup' }]
      : [{ verb: 'say', text: 'Nobody answers. Please try again later.' }, { verb: 'hangup' }]
  )
}
