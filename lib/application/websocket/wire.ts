import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { FastifyBaseLogger } from 'fastify'
import { isObject } from '../../model/json.js'
import { MAX_CALL_SID_BYTES } from '../../model/tokens.js'

// jambonz' application websocket (feature-server lib/utils/ws-requestor.js). One JSON text frame is one message.

export const SUBPROTOCOL = 'ws.jambonz.org'
/** maximum bytes of one message to jambonz; jambonz closes the socket with 1009 after a longer message */
export const MAX_MESSAGE_BYTES = 24 * 1024
/** maximum bytes of the verbs in an ack */
export const MAX_VERBS_BYTES = MAX_MESSAGE_BYTES - 128
/**
 * maximum characters of a message's id as JSON, which an ack contains beside the verbs; ids of jambonz have
 * 24
 */
const MAX_MSGID = 96
/** a b3 header: ids in hexadecimal, of the trace, the span and its parent */
const B3 = /^[\da-f-]{1,128}$/i
/** maximum bytes of one message of jambonz; even a message with a complete SIP INVITE is far shorter */
export const MAX_PAYLOAD = 1024 * 1024
/** The deadlines of answers and commands, ms. Only tests change them. */
export const DEADLINES = {
  /** for an ack, for which jambonz waits 5 s */
  ack: 4_500,
  /**
   * for the answer of a handler; jambonz waits as long over HTTP. After this time, the fallback verbs are
   * sent, if there are any, and the answer is dropped.
   */
  answer: 10_000,
  /** for the pings that jambonz answers before we close its socket */
  pong: 3_000,
  /** for a command to reach jambonz, a reconnect included */
  command: 2_000
}

/**
 * jambonz adds this to the url of the socket of a dialled leg that continues without its caller. The first
 * message on this socket is session:adulting.
 */
export const ADULTING = '/adulting'

/**
 * Close codes. After 1000, jambonz does not reconnect, even during a call. After any other code, it
 * reconnects.
 */
export const CLOSE = {
  /** in both directions: the call has ended */
  normal: 1000,
  /** jambonz -> us: jambonz could not use the answer, and refuses the call */
  goingAway: 1001,
  /** us -> jambonz: no message arrived, or only invalid ones */
  badStart: 1008,
  /** us -> jambonz: this instance shuts down, and another one continues */
  restart: 1012
} as const

/** A message, jambonz -> us. */
export interface SocketMessage {
  type: string
  msgid: string
  /** undefined if the message names no call */
  callSid: string | undefined
  /** the url of the hook, as in its verb */
  hook: string | undefined
  data: Record<string, unknown>
  b3: string | undefined
}

/** A command, us -> jambonz. jambonz does not answer commands. */
export interface SocketCommand {
  command: string
  data?: unknown
  /** for the command `redirect`: true if the verbs run after the remaining verbs */
  queue?: boolean
  /** for the command llm:tool-output */
  toolCallId?: string
  /** the leg that the command concerns, if that is not the leg of the call with the websocket */
  legCallSid?: string
}

/**
 * Parses a message of jambonz. Returns undefined if the text is no message. On a socket that jambonz opened
 * after a redirect, only the data names the call. `parse`: Fastify's JSON parser, which refuses keys that
 * would change a prototype.
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

/** Returns an ack. `verbs`: JSON of an array; without it, jambonz continues with its next verb. */
export function ackOf(msgid: string, verbs?: string): string {
  const id = JSON.stringify(msgid)
  return verbs === undefined ? `{"type":"ack","msgid":${id}}` : `{"type":"ack","msgid":${id},"data":${verbs}}`
}

export function commandOf({ command, data, queue, toolCallId, legCallSid }: SocketCommand): string {
  return JSON.stringify({
    type: 'command',
    command,
    ...(queue === true && { queueCommand: true }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
    ...(legCallSid !== undefined && { callSid: legCallSid }),
    ...(data !== undefined && { data })
  })
}

/**
 * Returns the commands that run these verbs, each within MAX_MESSAGE_BYTES. The verbs of the first command
 * replace the present verbs of the call, or run after the present verbs if `queue` is true. The verbs of each
 * further command run after the verbs of the command before. Returns undefined if a single verb is too long.
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

/**
 * Matches the headers of the upgrade that concern only the upgrade. The requests made from the socket's messages
 * get all other headers of the upgrade.
 */
const OF_UPGRADE =
  /^(?:connection|upgrade|sec-websocket-.*|content-length|content-type|transfer-encoding|accept-encoding|te|expect|range|if-.*|b3)$/

/** Returns the headers of the upgrade that apply to each message too: host (for urls), proxies, credentials. */
export function headersOfMessages(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([name, value]) => value !== undefined && !OF_UPGRADE.test(name))
      .map(([name, value]) => [name, String(value)])
  )
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

/** maximum ms that jambonz takes to reconnect after an application websocket broke */
const RECONNECTED_WITHIN = 10_000

/** An application websocket on which a message is acknowledged. */
interface Acknowledging {
  readonly open: boolean
  send(text: string): Promise<void>
  settled(msgid: string): void
}

/**
 * The answer to one message of an application websocket. It is sent once, as an ack, or as a command if the ack had to
 * be sent before the answer.
 */
export interface PendingAnswer {
  /**
   * the messages that ask for the answer, each with the socket for its ack; several if jambonz has
   * reconnected
   */
  readonly asked: Array<{ msgid: string; socket: Acknowledging }>
  readonly callSid: string | undefined
  /** true for the answer to session:new; without it, jambonz refuses the call */
  readonly isFirst: boolean
  acked: boolean
  /** JSON of the verbs, once the handler has answered */
  verbs?: string
}

/** The answers to session:new that were not sent yet. If the socket breaks, jambonz asks for the same answer again. */
export class PendingAnswers {
  readonly #byCall = new Map<string, PendingAnswer>()
  readonly #logger: FastifyBaseLogger

  constructor(logger: FastifyBaseLogger) {
    this.#logger = logger
  }

  add(answer: PendingAnswer): void {
    if (answer.callSid !== undefined) this.#byCall.set(answer.callSid, answer)
  }

  /** Returns the answer to session:new of a call, if it was not sent yet. */
  of(callSid: string | undefined): PendingAnswer | undefined {
    return callSid === undefined ? undefined : this.#byCall.get(callSid)
  }

  delete(answer: PendingAnswer): boolean {
    const { callSid } = answer
    return callSid !== undefined && this.#byCall.get(callSid) === answer && this.#byCall.delete(callSid)
  }

  /** Drops an answer whose socket has closed, unless jambonz soon reconnects to this instance. */
  dropLater(answer: PendingAnswer): void {
    setTimeout(() => {
      if (answer.acked || !this.delete(answer)) return
      this.#logger.warn({ callSid: answer.callSid }, 'session:new was not answered, since its socket broke')
    }, RECONNECTED_WITHIN).unref()
  }
}
