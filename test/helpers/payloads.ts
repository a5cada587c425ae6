import { createHmac, randomUUID } from 'node:crypto'

/** Returns the payload of a call's first webhook, with the fields that feature-server posts. */
export function callWebhook(overrides: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    call_sid: randomUUID(),
    direction: 'inbound',
    from: '+15085551212',
    to: '+15085551313',
    caller_name: '',
    call_id: randomUUID(),
    sbc_callid: randomUUID(),
    sip_status: 100,
    sip_reason: 'Trying',
    call_status: 'trying',
    account_sid: '9351f46a-678c-43f5-b8a6-d4eb58d131af',
    application_sid: '0e0681b0-d49f-4fb8-b973-b5a3c6758de1',
    trace_id: 'ef45ac2c1b3a4b6f8d1e2f3a4b5c6d7e',
    fs_sip_address: '10.0.0.5:5070',
    service_provider_sid: '2708b1b3-2736-40ea-b502-c53d8396247f',
    sip: { headers: { 'X-CID': 'abc', 'from': '<sip:+15085551212@10.0.0.1>' }, method: 'INVITE' },
    defaults: { synthesizer: { vendor: 'google', language: 'en-US' } },
    ...overrides
  }
}

/** Returns the header `Jambonz-Signature` for a body. `timestamp`: unix seconds. */
export function signature(body: string, secret: string, timestamp = Math.floor(Date.now() / 1000)): string {
  const v1 = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')
  return `t=${timestamp},v1=${v1}`
}
