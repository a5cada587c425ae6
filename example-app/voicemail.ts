import type { FastifyInstance } from 'fastify'

/**
 * The voicemail line: plays a greeting and a beep, records until # or for at most two minutes, and says
 * thanks.
 */
export default async function voicemail(app: FastifyInstance): Promise<void> {
  app.jambonz.webhook('/voicemail', async ({ call }) => [
    { verb: 'say', text: 'Leave a message after the beep, then press pound.' },
    {
      verb: 'listen',
      actionHook: '/voicemail/done',
      playBeep: true,
      finishOnKey: '#',
      maxLength: 120,
      passDtmf: true,
      metadata: { line: 'voicemail', caller: call.from }
    }
  ])

  app.jambonz.actionHook('/voicemail/done', async ({ listen, log }) => {
    log.info({ recording: listen.recording, digits: listen.digits }, 'message taken')
    return listen.recording
      ? [{ verb: 'say', text: 'Thank you. Goodbye.' }, { verb: 'hangup' }]
      : [{ verb: 'say', text: 'Sorry, we could not record your message.' }, { verb: 'hangup' }]
  })
}
