/** The names of the keys in Redis. A call is one key, so it is in one slot of a cluster. */
export class Keys {
  /** key of the sorted set of callSids, by the time at which the call may expire, ms */
  readonly calls: string
  /** key of the sorted set of instances, by the time at which their last heartbeat expires, ms */
  readonly instances: string
  /** pub/sub channel of the messages, see ChannelMessage */
  readonly channel: string
  readonly #prefix: string

  /** `keyPrefix`: the prefix that the client adds to keys, but not to channels */
  constructor(prefix: string, keyPrefix = '') {
    this.#prefix = prefix
    this.calls = `${prefix}calls`
    this.instances = `${prefix}instances`
    this.channel = `${keyPrefix}${prefix}events`
  }

  /** Returns the key of a call, a hash: see fields.ts. */
  call(callSid: string): string {
    return `${this.#prefix}call:{${callSid}}`
  }

  /** Returns the key of the set of listens whose sockets an instance holds. */
  held(instance: string): string {
    return `${this.#prefix}held:${instance}`
  }
}

/** Returns the name of a listen as a member of a set. */
export function listenName(callSid: string, listenId: string): string {
  return JSON.stringify([callSid, listenId])
}

/** Returns the callSid and the listen id in the name of a listen; undefined for an invalid name. */
export function parseListenName(name: string): [callSid: string, listenId: string] | undefined {
  try {
    const parsed: unknown = JSON.parse(name)
    if (Array.isArray(parsed) && typeof parsed[0] === 'string' && typeof parsed[1] === 'string') {
      return [parsed[0], parsed[1]]
    }
  } catch {
    // The name is not JSON.
  }
  return undefined
}

// The messages of the pub/sub channel, JSON:
//   { wake: [callSid, listenId] }        the waiters of the listen read their call again
//   { from: instance, told: … }          a message of an instance to the others
// Other programs may publish to the channel, too. Their messages are ignored.

export type ChannelMessage =
  { type: 'wake'; callSid: string; listenId: string } | { type: 'told'; from: string; told: unknown }

export function wakeMessage(callSid: string, listenId: string): string {
  return JSON.stringify({ wake: [callSid, listenId] })
}

export function toldMessage(from: string, told: unknown): string {
  return JSON.stringify({ from, told })
}

/** Parses a message. Returns undefined if no instance of this plugin sent it. */
export function readMessage(text: string): ChannelMessage | undefined {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof message !== 'object' || message === null) return undefined
  if ('wake' in message && Array.isArray(message.wake)) {
    const [callSid, listenId] = message.wake as unknown[]
    return typeof callSid === 'string' && typeof listenId === 'string'
      ? { type: 'wake', callSid, listenId }
      : undefined
  }
  return 'from' in message && typeof message.from === 'string' && 'told' in message
    ? { type: 'told', from: message.from, told: message.told }
    : undefined
}
