// Twilio's Media Streams, as <Connect><Stream> speaks it: JSON text frames, audio as base64 mu-law at 8 kHz.
// https://www.twilio.com/docs/voice/media-streams/websocket-messages

export const TWILIO_RATE = 8000
/** Bytes of mu-law in one media message: 20 ms. */
export const MEDIA_BYTES = 160
export const MEDIA_MS = 20

export interface StartFields {
  streamSid: string
  callSid: string
  accountSid: string
  customParameters: Record<string, string>
}

/** A message of the bot. */
export type BotMessage =
  | { event: 'media'; payload: Buffer }
  | { event: 'mark'; name: string }
  | { event: 'clear' }
  | { event: 'unknown' }

/** Reads a text frame of the bot. Never throws. */
export function readBotMessage(text: string): BotMessage {
  const message = parse(text)
  const { media, mark } = message
  if (message.event === 'media' && typeof media?.payload === 'string') {
    return { event: 'media', payload: Buffer.from(media.payload, 'base64') }
  }
  if (message.event === 'mark' && typeof mark?.name === 'string') return { event: 'mark', name: mark.name }
  if (message.event === 'clear') return { event: 'clear' }
  return { event: 'unknown' }
}

interface RawMessage {
  event?: unknown
  media?: { payload?: unknown } | null
  mark?: { name?: unknown } | null
}

function parse(text: string): RawMessage {
  try {
    return (JSON.parse(text) as RawMessage | null) ?? {}
  } catch {
    return {}
  }
}

/** Writes messages to the bot, numbered as Twilio numbers them. */
export class BotWriter {
  readonly #send: (text: string) => void
  readonly #start: StartFields
  #sequence = 0
  #chunk = 0

  constructor(start: StartFields, send: (text: string) => void) {
    this.#start = start
    this.#send = send
  }

  open(): void {
    this.#send(JSON.stringify({ event: 'connected', protocol: 'Call', version: '1.0.0' }))
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: TWILIO_RATE, channels: 1 }
    this.#write({ event: 'start', start: { ...this.#start, tracks: ['inbound'], mediaFormat } })
  }

  /** Writes 20 ms of mu-law. */
  media(mulaw: Buffer): void {
    const timestamp = this.#chunk * MEDIA_MS
    this.#write({
      event: 'media',
      media: {
        track: 'inbound',
        chunk: String(++this.#chunk),
        timestamp: String(timestamp),
        payload: mulaw.toString('base64')
      }
    })
  }

  dtmf(digit: string): void {
    this.#write({ event: 'dtmf', dtmf: { track: 'inbound_track', digit } })
  }

  mark(name: string): void {
    this.#write({ event: 'mark', mark: { name } })
  }

  stop(): void {
    const { accountSid, callSid } = this.#start
    this.#write({ event: 'stop', stop: { accountSid, callSid } })
  }

  #write(message: Record<string, unknown>): void {
    this.#send(
      JSON.stringify({
        ...message,
        sequenceNumber: String(++this.#sequence),
        streamSid: this.#start.streamSid
      })
    )
  }
}
