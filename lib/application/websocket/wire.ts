import type { IncomingMessage } from 'node:http'
import { isObject } from '../../model/json.js'
import { MAX_CALL_SID_BYTES } from '../../model/tokens.js'

// jambonz' application websocket (feature-server lib/utils/ws-requestor.js). One JSON text frame is one message.

export const SUBPROTOCOL = 'ws.jambonz.org'
/** bytes of one message of ours: a longer one makes jambonz close the socket with 1009 */
export const MAX_MESSAGE_BYTES = 24 * 1024
/** bytes of the verbs in an ack */
export const MAX_VERBS_BYTES = MAX_MESSAGE_BYTES - 128
/** characters of a message's id as JSON: jambonz' have 24. It stands in the ack beside the verbs */
const MAX_MSGID = 96
/** a b3 header: ids in hexadecimal, of the trace, the span and its parent */
const B3 = /^[\da-f-]{1,128}$/i
/** bytes of one message of jambonz: an INVITE with everything in it is far shorter */
export const MAX_PAYLOAD = 1024 * 1024
/** ms of an answer. Nobody but a test changes them. */
export const DEADLINES = {
  /** until an ack has to leave: jambonz waits 5 s for it */
  ack: 4_500,
  /** that jambonz waits for an answer over HTTP: a later answer is dropped if there is a fallback */
  answer: 10_000
}

/** The end of the url of a socket for a dialled leg that goes on alone; its first message is session:adulting. */
export const ADULTING = '/adulting'

/** Close codes. jambonz takes 1000 as final, in mid-call too; after any other it reconnects, and its call goes on. */
export const CLOSE = {
  /** jambonz -> us: the call is over. us -> jambonz: only when it is */
  normal: 1000,
  /** jambonz -> us: what we answered could not be used, the call is refused */
  goingAway: 1001,
  /** us -> jambonz: no message came, or none that could be read */
  badStart: 1008,
  /** us -> jambonz: this instance shuts down, another one goes on */
  restart: 1012
} as const

/** jambonz -> us */
export interface SocketMessage {
  type: string
  msgid: string
  /** undefined: the message names no call */
  callSid: string | undefined
  /** the hook as its verb gave it */
  hook: string | undefined
  data: Record<string, unknown>
  b3: string | undefined
}

/** us -> jambonz; none is answered */
export interface SocketCommand {
  command: string
  data?: unknown
  /** of the command redirect: behind what is left to run */
  queue?: boolean
  /** of the command llm:tool-output */
  toolCallId?: string
}

/**
 * Returns a message of jambonz; undefined if the text is none. Sockets opened by a redirect name their call only in the
 * data. `parse`: Fastify's parser of JSON, which refuses keys that would change a prototype.
 */
export function readMessage(text: string, parse: (text: string) => unknown): SocketMessage | undefined {
  const message = parse(text)
  if (!isObject(message)) return undefined
  const { type, msgid, hook, data, b3 } = message
  if (typeof type !== 'string' || typeof msgid !== 'string') return undefined
  if (JSON.stringify(msgid).length > MAX_MSGID) return undefined
  const payload = isObject(data) ? data : {}
  const callSid = callSidOf(message.call_sid) ?? callSidOf(payload.call_sid)
  return {
    type,
    msgid,
    callSid,
    hook: textOf(hook),
    data: payload,
    b3: typeof b3 === 'string' && B3.test(b3) ? b3 : undefined
  }
}

/** Returns an ack. `verbs`: JSON of an array; without it the next verb runs. */
export function ackOf(msgid: string, verbs?: string): string {
  const id = JSON.stringify(msgid)
  return verbs === undefined ? `{"type":"ack","msgid":${id}}` : `{"type":"ack","msgid":${id},"data":${verbs}}`
}

export function commandOf({ command, data, queue, toolCallId }: SocketCommand): string {
  return JSON.stringify({
    type: 'command',
    command,
    ...(queue === true && { queueCommand: true }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
    ...(data !== undefined && { data })
  })
}

/**
 * Returns the commands that run these verbs, each as short as jambonz takes it: the first replaces what runs (or, with
 * `queue`, is put behind it), the others are put behind the first. Returns undefined if one verb alone is too long.
 */
export function redirectsOf(verbs: readonly unknown[], queue: boolean): string[] | undefined {
  const whole = commandOf({ command: 'redirect', data: verbs, queue })
  if (Buffer.byteLength(whole) <= MAX_MESSAGE_BYTES) return [whole]
  const fits = (data: unknown[]): boolean =>
    Buffer.byteLength(commandOf({ command: 'redirect', data, queue: true })) <= MAX_MESSAGE_BYTES
  const parts: unknown[][] = [[]]
  for (const verb of verbs) {
    const last = parts.at(-1) ?? []
    if (fits([...last, verb])) last.push(verb)
    else if (last.length > 0 && fits([verb])) parts.push([verb])
    else return undefined
  }
  return parts.map((data, at) => commandOf({ command: 'redirect', data, queue: queue || at > 0 }))
}

/** Returns true for the request that opens an application websocket. */
export function isApplicationUpgrade({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  if (headers.upgrade?.toLowerCase() !== 'websocket') return false
  const asked = headers['sec-websocket-protocol'] ?? ''
  return asked.split(',').some((name) => name.trim() === SUBPROTOCOL)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function callSidOf(value: unknown): string | undefined {
  const callSid = textOf(value)
  return callSid !== undefined && Buffer.byteLength(callSid) <= MAX_CALL_SID_BYTES ? callSid : undefined
}
