import { parseApplication, type VerbData } from '../verbs/application.js'
import type { Session } from './session.js'

const DEFAULTS = {
  synthesizer: { vendor: 'google', language: 'en-US', voice: 'en-US-Standard-C' },
  recognizer: { vendor: 'google', language: 'en-US' }
}

/**
 * Asks the application for the first verbs: while an inbound call rings, or when a call of the REST api is answered
 * (feature-server lib/middleware.js, lib/tasks/rest_dial.js).
 */
export async function firstWebhook(session: Session): Promise<VerbData[]> {
  const { info, options, post } = session
  const { url, webhookMethod, env, call, faults } = options
  const settings = { defaults: DEFAULTS, ...(env !== undefined && { env_vars: env }) }
  let params: object
  if (call.direction === 'inbound') {
    params = {
      ...((webhookMethod === 'POST' || post.requestor.transport === 'websocket') && { sip: info.sip() }),
      ...info.own(),
      service_provider_sid: call.accountSid,
      ...settings
    }
  } else {
    session.post.notify(info, 'trying', 100, 'Trying')
    session.post.notify(info, 'ringing', 180, 'Ringing')
    session.answer()
    params = { ...info.toJSON(), ...settings }
  }
  const hook = { url, method: webhookMethod }
  const times = faults.duplicateWebhook === true ? 2 : 1
  const reply = await post.requestor.request('session:new', hook, params, { times })
  // Over HTTP, an answer without a body has no verbs. Over a websocket, an ack without data is malformed.
  return parseApplication(reply === '' ? [] : reply, options)
}
