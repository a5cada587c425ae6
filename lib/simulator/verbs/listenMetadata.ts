import type { Credentials } from '../fork/handshake.js'
import { escapeStrings, intactFrame, metadataFrame, type Json } from '../fork/metadata.js'
import type { Session } from '../session/session.js'
import type { ListenRecord } from '../types.js'
import { recordOf } from './application.js'
import type { ListenPlace } from './listen.js'

const PADDING = 9_000

export interface ListenDescription {
  record: ListenRecord
  frame: Buffer
  credentials: Credentials | undefined
  streamRate: number | undefined
}

/** Returns the address, the credentials and the first frame of the socket that a listen verb asks for. */
export function describeListen(
  session: Session,
  place: ListenPlace,
  data: Record<string, unknown>
): ListenDescription {
  const { url, credentials } = target(session, data)
  const sampleRate = Number(data.sampleRate || 8_000)
  const mixType = (data.mixType ?? 'mono') as ListenRecord['mixType']
  const { plain, escaped } = metadata(session, place, { sampleRate, mixType }, recordOf(data.metadata))
  const frame = session.options.platform === '11' ? intactFrame(plain) : metadataFrame(escaped)
  const { streaming, sampleRate: streamRate } = recordOf(data.bidirectionalAudio)
  return {
    frame,
    credentials,
    // If the rate is missing, the module reads the command in its older form: it plays files only, whatever `streaming`
    // is.
    streamRate: streaming === true && Number(streamRate) > 0 ? Number(streamRate) : undefined,
    record: {
      url,
      callSid: place.bLeg?.callSid ?? place.member?.callSid ?? session.info.callSid,
      role: place.role,
      mixType,
      sampleRate,
      metadata: parsed(frame) ?? plain,
      metadataText: frame.toString('utf8'),
      refused: undefined,
      protocol: undefined,
      startedAtMs: Math.round(session.clock.now()),
      openedAtMs: undefined,
      closedAtMs: undefined,
      closeCode: undefined,
      closeReason: undefined,
      closedBy: undefined,
      orphan: false,
      overrun: false,
      firstAudioMs: undefined,
      sent: { frames: 0, bytes: 0, sha256: '', pcm: undefined, texts: [], startedAtMs: undefined },
      lostMs: 0,
      right: undefined,
      output: undefined,
      received: [],
      receivedAudio: { bytes: 0, swallowed: 0 },
      marks: [],
      playDone: []
    }
  }
}

// A relative url is resolved against the webhook's host. The webhook's credentials then replace the verb's wsAuth.
function target(
  session: Session,
  data: Record<string, unknown>
): { url: string; credentials: Credentials | undefined } {
  const url = String(data.url)
  const { username, password } = recordOf(data.wsAuth)
  const own =
    typeof username === 'string' && typeof password === 'string' && username !== '' && password !== ''
      ? { username, password }
      : undefined
  if (!url.startsWith('/')) return { url, credentials: own }
  const { baseUrl, credentials } = session.post.requestor
  return { url: baseUrl + url, credentials: credentials ?? own }
}

function metadata(
  session: Session,
  place: ListenPlace,
  first: Json,
  own: Json
): { plain: Json; escaped: Json } {
  // jambonz 11 does the same, as its documentation says.
  if (place.role === 'outside') return { plain: own, escaped: own }
  if (place.member !== undefined) {
    const frame = { ...own, ...place.member, sampleRate: first.sampleRate }
    return { plain: frame, escaped: frame }
  }
  // A listen nested in dial sends the fields of the called leg, any other listen sends the fields of the webhook's
  // call.
  const call = place.bLeg?.own() ?? session.info.toJSON()
  if (place.role === 'record') delete call.customerData
  spoil(call, session.options.faults.metadata)
  const customerData =
    call.customerData === undefined ? {} : { customerData: escapeStrings(recordOf(call.customerData)) }
  return {
    plain: { ...first, ...call, ...own },
    escaped: { ...first, ...call, ...customerData, ...escapeStrings(own) }
  }
}

function spoil(call: Json, fault: 'apostrophe' | 'quote' | 'cut' | undefined): void {
  if (fault === 'apostrophe') call.from = "O'Brien"
  if (fault === 'quote') call.from = 'Joe "the boss" Doe'
  if (fault === 'cut') call.customerData = { padding: 'x'.repeat(PADDING) }
}

function parsed(frame: Buffer): Json | undefined {
  try {
    return recordOf(JSON.parse(frame.toString('utf8')))
  } catch {
    return undefined
  }
}
