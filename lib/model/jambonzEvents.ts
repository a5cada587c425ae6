/** Messages of jambonz' application websocket that need no answer: events of `calls.events`, by jambonz' own names. */
export const JAMBONZ_EVENTS = [
  'jambonz:error',
  'verb:status',
  'llm:event',
  'llm:tool-call',
  'agent:event',
  'tts:streaming-event',
  'tts:tokens-result'
] as const
export type JambonzEventName = (typeof JAMBONZ_EVENTS)[number]

/** The data of such an event. */
export interface JambonzEvent {
  callSid: string
  /** llm:event, llm:tool-call, agent:event: the hook as the verb gave it */
  hook?: string
  /** as jambonz sent it, snake_case */
  data: Readonly<Record<string, unknown>>
}

export type JambonzEventMap = Record<JambonzEventName, [event: JambonzEvent]>

export function isJambonzEvent(type: string): type is JambonzEventName {
  return (JAMBONZ_EVENTS as readonly string[]).includes(type)
}
