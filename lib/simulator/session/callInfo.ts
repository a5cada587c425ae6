import { randomBytes, randomUUID } from 'node:crypto'

const FEATURE_SERVER = '10.0.0.10:5070'
const SBC = '10.0.0.20'

export type CallStatus =
  | 'trying'
  | 'ringing'
  | 'early-media'
  | 'in-progress'
  | 'completed'
  | 'failed'
  | 'busy'
  | 'no-answer'
  | 'queued'

export interface CallInfoOptions {
  direction: 'inbound' | 'outbound'
  callSid: string
  parentCallSid?: string
  accountSid: string
  applicationSid: string
  from: string
  to: string
  callerName?: string | undefined
  traceId?: string
}

/**
 * The fields of a call that jambonz sends (feature-server lib/session/call-info.js). The first webhook, transcription
 * hooks and the metadata of a nested listen contain the fields that `own` returns. All other requests contain the
 * fields that `toJSON` returns.
 */
export class CallInfo {
  readonly callSid: string
  readonly parentCallSid: string | undefined
  readonly traceId: string
  readonly callId = randomUUID()
  readonly sbcCallid = randomUUID()
  readonly #options: CallInfoOptions
  callStatus: CallStatus = 'trying'
  sipStatus = 100
  sipReason = 'Trying'
  callTerminationBy: 'caller' | 'jambonz' | undefined
  duration: number | undefined
  customerData: Record<string, unknown> | undefined

  constructor(options: CallInfoOptions) {
    this.#options = options
    this.callSid = options.callSid
    this.parentCallSid = options.parentCallSid
    this.traceId = options.traceId ?? randomBytes(16).toString('hex')
  }

  toJSON(): Record<string, unknown> {
    const { direction, from, to, accountSid, applicationSid } = this.#options
    return compact({
      callSid: this.callSid,
      direction,
      from,
      to,
      callId: this.callId,
      sbcCallid: this.sbcCallid,
      sipStatus: this.sipStatus,
      sipReason: this.sipReason,
      callStatus: this.callStatus,
      callerId: this.parentCallSid === undefined ? undefined : from,
      accountSid,
      traceId: this.traceId,
      applicationSid,
      fsSipAddress: FEATURE_SERVER,
      parentCallSid: this.parentCallSid,
      originatingSipIp: this.parentCallSid === undefined ? SBC : undefined,
      originatingSipTrunkName: this.parentCallSid === undefined ? 'simulator' : undefined,
      callTerminationBy: this.callTerminationBy,
      duration: this.duration,
      customerData: this.customerData
    })
  }

  /** Returns all fields of the object, also `callerName` and `hasRecording`, with customer data as `_customerData`. */
  own(): Record<string, unknown> {
    const { direction, from, to, accountSid, applicationSid, callerName } = this.#options
    return compact({
      direction,
      traceId: this.traceId,
      hasRecording: false,
      callerName: callerName ?? '',
      callSid: this.callSid,
      parentCallSid: this.parentCallSid,
      accountSid,
      applicationSid,
      from,
      to,
      callId: this.callId,
      sipStatus: this.sipStatus,
      sipReason: this.sipReason,
      callStatus: this.callStatus,
      sbcCallid: this.sbcCallid,
      originatingSipIp: this.parentCallSid === undefined ? SBC : undefined,
      originatingSipTrunkName: this.parentCallSid === undefined ? 'simulator' : undefined,
      callTerminationBy: this.callTerminationBy,
      duration: this.duration,
      _customerData: this.customerData,
      localSipAddress: FEATURE_SERVER,
      fsSipAddress: FEATURE_SERVER
    })
  }

  /** Returns the SIP INVITE as drachtio parses it, with the names of SIP as keys. */
  sip(): Record<string, unknown> {
    const { from, to, callerName } = this.#options
    const display = callerName === undefined || callerName === '' ? '' : `"${callerName}" `
    const uri = `sip:${to}@${FEATURE_SERVER}`
    return {
      headers: {
        'via': `SIP/2.0/UDP ${SBC}:5060;rport=5060;branch=z9hG4bK${randomBytes(8).toString('hex')}`,
        'max-forwards': '70',
        'from': `${display}<sip:${from}@${SBC}>;tag=${randomBytes(6).toString('hex')}`,
        'to': `<${uri}>`,
        'call-id': this.callId,
        'cseq': '1 INVITE',
        'contact': `<sip:${SBC}:5060>`,
        'user-agent': 'jambonz simulator',
        'X-CID': this.sbcCallid,
        'X-Account-Sid': this.#options.accountSid,
        'X-Forwarded-For': SBC,
        'X-Originating-Carrier': 'simulator'
      },
      body: 'v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n',
      method: 'INVITE',
      version: '2.0',
      uri
    }
  }
}

function compact(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}
