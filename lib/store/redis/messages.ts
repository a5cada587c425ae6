// What passes on the pub/sub channel, JSON:
//   { wake: [callSid, listenId] }        whoever waits for the listen looks again
//   { from: instance, told: … }          what an instance tells the others
// Anybody who may publish can send anything: what is none of these is no message.

export type ChannelMessage =
  { type: 'wake'; callSid: string; listenId: string } | { type: 'told'; from: string; told: unknown }

export function wakeMessage(callSid: string, listenId: string): string {
  return JSON.stringify({ wake: [callSid, listenId] })
}

export function toldMessage(from: string, told: unknown): string {
  return JSON.stringify({ from, told })
}

/** Returns what a message says; undefined for one that is none of ours. */
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
