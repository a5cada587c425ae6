import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'

const DialledSchema = Type.Object({ dial_call_status: Type.String() })

/**
 * The monitor line: connects the caller with a called party and records both, the caller left and the called
 * party right.
 */
export default async function monitor(app: FastifyInstance): Promise<void> {
  // When the user enters the url of the webhook in the jambonz portal, the portal asks for this number.
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
