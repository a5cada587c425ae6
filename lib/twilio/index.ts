import { Type } from '@sinclair/typebox'
import { WebSocket } from 'ws'
import { thrownMessage } from '../model/json.js'
import type { AudioStream } from '../audio/stream/AudioStream.js'
import { checkOptions } from '../model/checkOptions.js'
import { ERR_AUDIO_MODE, ERR_OPTIONS, ERR_TWILIO_BOT } from '../model/errors.js'
import { createHmac, randomBytes } from 'node:crypto'
import { decodeMulaw, encodeMulaw } from '../pcm/g711.js'
import { Resampler } from '../pcm/Resampler.js'
import { bytesOf, samplesOf } from '../pcm/samples.js'
import { BotWriter, MEDIA_MS, readBotMessage, TWILIO_RATE, MEDIA_BYTES } from './messages.js'
import { sideOf } from '../audio/stream/readers.js'

/** ms that the bot has to accept its socket */
const HANDSHAKE_TIMEOUT = 10_000

/**
 * Connects a jambonz call to a bot that speaks Twilio's Media Streams (`<Connect><Stream>`). The bot gets connected,
 * start, media, dtmf, mark and stop, and sends media, mark and clear. Audio is base64 mu-law at 8 kHz both ways,
 * whatever the rates of the listen are. Give the verb `bidirectionalAudio: { enabled: true, streaming: true,
 * sampleRate: 8000 }`, as marks inside the audio are exact at this rate, and `passDtmf: true` for keys.
 *
 *     fastify.jambonz.audio('/bot', (stream) => bridgeTwilio(stream, 'wss://bot.example.com/media'))
 *
 * Settles when one side has hung up. If the bot has hung up normally, the listen is ended, so that jambonz calls the
 * actionHook. Rejects with FST_JAMBONZ_AUDIO_MODE for a listen without streaming, and with FST_JAMBONZ_TWILIO_BOT if
 * the bot can't be reached or breaks off; the listen then goes on. Rejects with FST_JAMBONZ_OPTIONS for a wrong option.
 */
export async function bridgeTwilio(
  stream: AudioStream,
  bot: string | URL | WebSocket,
  options: BridgeOptions = {}
): Promise<BridgeEnd> {
  checkOptions(BridgeOptionsSchema, options, 'options of bridgeTwilio()')
  const mode = stream.listen.bidirectional?.mode
  if (mode !== undefined && mode !== 'streaming') {
    throw new ERR_AUDIO_MODE('bridgeTwilio', '{ enabled: true, streaming: true, sampleRate: 8000 }')
  }
  const isUrl = typeof bot === 'string' || bot instanceof URL
  const { authToken } = options
  if (!isUrl && authToken !== undefined) {
    throw new ERR_OPTIONS(
      'options of bridgeTwilio().authToken signs the request for the socket of a url: leave it out for a socket of your own'
    )
  }
  const socket = isUrl ? connect(bot, authToken) : bot
  const end = await new TwilioBridge(stream, socket, options).run()
  if (end.endedBy === 'bot') await stream.disconnect()
  return end
}

function connect(url: string | URL, authToken: string | undefined): WebSocket {
  try {
    return new WebSocket(url, {
      handshakeTimeout: HANDSHAKE_TIMEOUT,
      perMessageDeflate: false,
      ...(authToken !== undefined && {
        headers: { 'X-Twilio-Signature': signature(authToken, new URL(url)) }
      })
    })
  } catch (err) {
    throw new ERR_TWILIO_BOT(`"${String(url)}" is no websocket url (${thrownMessage(err)})`)
  }
}

/** Returns Twilio's signature of a websocket's url. https://www.twilio.com/docs/usage/security */
function signature(authToken: string, { href }: URL): string {
  return createHmac('sha1', authToken).update(href).digest('base64')
}

/** Maximum number of media messages that are kept while the bot's socket opens: 10 s of audio. */
const MAX_EARLY = 10_000 / MEDIA_MS
/** maximum bytes that may wait for a slow bot; later audio is dropped, since it would be late */
const MAX_UNSENT = 1_048_576
/** bytes of the bot's audio that may wait to be played; while more wait, the bot's socket is not read */
const MAX_UNPLAYED = 16_777_216
const CLOSE_NORMAL = 1000
/** Close codes of a bot that has finished: normal, going away, no code. */
const CLEAN = [1000, 1001, 1005]

/** How a bridge ended: who hung up first, and the bot's close code. */
export interface BridgeEnd {
  endedBy: 'call' | 'bot'
  code: number
}

export interface BridgeOptions {
  /**
   * added to the verb's `metadata` in `start.customParameters`. A bot of Twilio gets strings, so numbers and booleans
   * become strings; an undefined value, such as the number of a caller who withholds it, is left out
   */
  customParameters?: Record<string, string | number | boolean | undefined> | undefined
  /** signs the request for the bot's socket with `X-Twilio-Signature`, for a bot that checks it with this token */
  authToken?: string | undefined
}

const BridgeOptionsSchema = Type.Object(
  {
    customParameters: Type.Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Undefined()]))
    ),
    authToken: Type.Optional(Type.String({ minLength: 1 }))
  },
  { additionalProperties: false }
)

/** One call between jambonz and a bot that speaks Twilio's protocol. */
class TwilioBridge {
  readonly #stream: AudioStream
  readonly #bot: WebSocket
  readonly #writer: BotWriter
  readonly #resampler: Resampler | undefined
  readonly #listeners: Array<() => void> = []
  #early: Buffer[] = []
  #ended = false

  constructor(stream: AudioStream, bot: WebSocket, { customParameters = {} }: BridgeOptions) {
    this.#stream = stream
    this.#bot = bot
    this.#writer = new BotWriter(
      {
        streamSid: `MZ${randomBytes(16).toString('hex')}`,
        callSid: stream.callSid,
        accountSid: stream.call.accountSid ?? '',
        customParameters: strings({ ...stream.listen.metadata, ...customParameters })
      },
      (text) => bot.send(text)
    )
    this.#resampler =
      stream.outputSampleRate === TWILIO_RATE
        ? undefined
        : new Resampler(TWILIO_RATE, stream.outputSampleRate)
  }

  /**
   * Runs until one side hangs up. Rejects with FST_JAMBONZ_TWILIO_BOT when the bot fails. The listen then
   * goes on.
   */
  async run(): Promise<BridgeEnd> {
    const stream = this.#stream
    const uplink = new Uplink(stream.sampleRate, stream.channels, (mulaw) => this.#media(mulaw))
    const onAudio = (frame: Buffer) => uplink.frame(frame)
    const onDtmf = ({ digit }: { digit: string }) => {
      if (this.#isOpen) this.#writer.dtmf(digit)
    }
    stream.on('audio', onAudio)
    stream.on('dtmf', onDtmf)
    try {
      return await this.#ends()
    } finally {
      this.#ended = true
      stream.off('audio', onAudio)
      stream.off('dtmf', onDtmf)
      for (const remove of this.#listeners) remove()
    }
  }

  get #isOpen(): boolean {
    return this.#bot.readyState === this.#bot.OPEN
  }

  #ends(): Promise<BridgeEnd> {
    return new Promise((resolve, reject) => {
      this.#listen('message', (data) => this.#received(String(data)))
      this.#listen('error', (err) => reject(new ERR_TWILIO_BOT(thrownMessage(err))))
      this.#listen('close', (code) => {
        if (CLEAN.includes(Number(code))) resolve({ endedBy: 'bot', code: Number(code) })
        else reject(new ERR_TWILIO_BOT(`it closed with ${String(code)}`))
      })
      if (this.#bot.readyState === this.#bot.CLOSED) {
        return reject(new ERR_TWILIO_BOT('its socket had closed, or never opened, before it was handed over'))
      }
      if (this.#isOpen) this.#open()
      else this.#listen('open', () => this.#open())
      this.#stream.done.then(() => {
        if (this.#isOpen) this.#writer.stop()
        this.#bot.close(CLOSE_NORMAL)
        resolve({ endedBy: 'call', code: CLOSE_NORMAL })
      })
    })
  }

  #listen(event: string, listener: (...args: unknown[]) => void): void {
    this.#bot.on(event, listener)
    // The listener for errors stays, since an error after the end must not end the process.
    this.#listeners.push(() => {
      if (event !== 'error') this.#bot.off(event, listener)
    })
  }

  #open(): void {
    this.#writer.open()
    for (const mulaw of this.#early) this.#writer.media(mulaw)
    this.#early = []
  }

  #media(mulaw: Buffer): void {
    if (this.#isOpen) {
      if (this.#bot.bufferedAmount < MAX_UNSENT) this.#writer.media(mulaw)
    } else if (this.#early.length < MAX_EARLY) this.#early.push(Buffer.from(mulaw))
  }

  #received(text: string): void {
    const message = readBotMessage(text)
    if (message.event === 'media') this.#play(message.payload)
    else if (message.event === 'clear') this.#stream.clear()
    // Twilio reports a mark even if the audio before it was cleared.
    else if (message.event === 'mark') {
      this.#stream.mark(message.name).then(
        () => this.#reportMark(message.name),
        () => {}
      )
    }
  }

  #play(mulaw: Buffer): void {
    const samples = decodeMulaw(mulaw)
    this.#stream.write(bytesOf(this.#resampler?.process(samples) ?? samples))
    if (this.#stream.writableLength < MAX_UNPLAYED || this.#bot.isPaused) return
    this.#bot.pause()
    this.#stream.once('drain', () => this.#bot.resume())
  }

  #reportMark(name: string): void {
    if (!this.#ended && this.#isOpen) this.#writer.mark(name)
  }
}

/** Returns the values as strings, without undefined values. */
function strings(values: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)])
  )
}

/** The caller's audio on its way to the bot: L16 of any rate becomes mu-law at 8 kHz, in pieces of 20 ms. */
export class Uplink {
  readonly #stereo: boolean
  readonly #resampler: Resampler | undefined
  readonly #onPiece: (mulaw: Buffer) => void
  readonly #piece = Buffer.alloc(MEDIA_BYTES)
  #filled = 0

  /** `onPiece` gets the same buffer each time, so it must copy what it keeps. */
  constructor(sampleRate: number, channels: number, onPiece: (mulaw: Buffer) => void) {
    this.#stereo = channels === 2
    this.#resampler = sampleRate === TWILIO_RATE ? undefined : new Resampler(sampleRate, TWILIO_RATE)
    this.#onPiece = onPiece
  }

  frame(frame: Buffer): void {
    const samples = samplesOf(this.#stereo ? sideOf(frame, 'caller') : frame)
    const mulaw = encodeMulaw(this.#resampler?.process(samples) ?? samples)
    for (let at = 0; at < mulaw.length;) {
      const copied = mulaw.copy(this.#piece, this.#filled, at)
      at += copied
      this.#filled += copied
      if (this.#filled < MEDIA_BYTES) continue
      this.#filled = 0
      this.#onPiece(this.#piece)
    }
  }
}
