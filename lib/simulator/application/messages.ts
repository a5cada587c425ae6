import { randomBytes } from 'node:crypto'
import { reasonOf } from '../errors.js'
import type { Command, RequestType } from './requestor.js'

/** jambonz -> application: one JSON text frame, with its keys in this order. */
export interface Message {
  type: RequestType
  msgid: string
  /** Missing on a socket that a redirect opened. */
  call_sid: string | undefined
  hook: string | undefined
  data: object
  b3?: string
}

/** application -> jambonz. */
export type Received = { type: 'ack'; msgid: string; data: unknown } | ({ type: 'command' } & Command)

const WITHOUT_ACK: ReadonlySet<RequestType> = new Set(['call:status', 'verb:status', 'jambonz:error'])
const WITH_HOOK: ReadonlySet<RequestType> = new Set(['verb:hook', 'dial:confirm', 'session:redirect'])
const COMMANDS_WITHOUT_DATA = new Set(['llm:tool-output', 'tts:flush', 'tts:clear'])
const ALPHABET = '123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ'

/** Returns true for a message that the application has to acknowledge. */
export function wantsAck(type: RequestType): boolean {
  return !WITHOUT_ACK.has(type)
}

/** Returns true for a message that has the property `hook`. */
export function namesHook(type: RequestType): boolean {
  return WITH_HOOK.has(type)
}

/** Returns a new message id: 16 random bytes in base 58, as the package short-uuid writes them. */
export function newMessageId(): string {
  let value = BigInt(`0x${randomBytes(16).toString('hex')}`)
  let text = ''
  for (; value > 0n; value /= 58n) text = ALPHABET[Number(value % 58n)]! + text
  return text
}

/**
 * Reads a message of the application as jambonz does. Throws an Error whose message is the `details` of jambonz:error.
 */
export function readMessage(text: string): Received {
  const message = JSON.parse(text) as Record<string, unknown>
  const { type, msgid, command, queueCommand, callSid, data } = message
  if (!type) throw new Error('type property not supplied')
  if (type === 'ack') {
    if (!msgid) throw new Error('msgid not supplied')
    return { type, msgid: String(msgid), data }
  }
  if (type !== 'command') throw new Error(`invalid type property: ${String(type)}`)
  if (!command) throw new Error('command property not supplied')
  const name = String(command)
  if (!data && !COMMANDS_WITHOUT_DATA.has(name)) throw new Error('data property not supplied')
  return {
    type,
    command: name,
    data,
    queue: Boolean(queueCommand),
    callSid: typeof callSid === 'string' && callSid !== '' ? callSid : undefined
  }
}

/** Returns the data of the jambonz:error that jambonz sends for an invalid message. */
export function invalidMessage(error: unknown, content: string): object {
  return { msg: 'InvalidMessage', details: reasonOf(error), content }
}
