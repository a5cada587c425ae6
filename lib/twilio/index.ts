import { WebSocket } from 'ws'
import type { AudioStream } from '../audio/index.js'
import { ERR_AUDIO_MODE, ERR_TWILIO_BOT } from '../model/errors.js'
import { TwilioBridge, type BridgeEnd, type BridgeOptions } from './TwilioBridge.js'

export type { BridgeEnd, BridgeOptions } from './TwilioBridge.js'

/** ms that the bot has to accept its socket */
const HANDSHAKE_TIMEOUT = 10_000

/**
 * Serves a jambonz call with a bot that speaks Twilio's Media Streams (`<Connect><Stream>`): connected, start, media,
 * dtmf, mark and stop to it; media, mark and clear from it; base64 mu-law at 8 kHz both ways, whatever the rates of
 * the listen are. Give the verb `bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8000 }`, at which
 * marks inside the audio are exact, and `passDtmf: true` for keys.
 *
 *     fastify.jambonz.audio('/bot', (stream) => bridgeTwilio(stream, 'wss://bot.example.com/media'))
 *
 * Settles when one side has hung up. When it was the bot, normally, the listen is ended, so that jambonz calls the
 * actionHook. Rejects with FST_JAMBONZ_AUDIO_MODE for a listen without streaming, and with FST_JAMBONZ_TWILIO_BOT when
 * the bot can't be reached or breaks off; the listen is left as it is then.
 */
export async function bridgeTwilio(
  stream: AudioStream,
  bot: string | URL | WebSocket,
  options: BridgeOptions = {}
): Promise<BridgeEnd> {
  const mode = stream.listen.bidirectional?.mode
  if (mode !== undefined && mode !== 'streaming') {
    throw new ERR_AUDIO_MODE('bridgeTwilio', '{ enabled: true, streaming: true, sampleRate: 8000 }')
  }
  const socket = typeof bot === 'string' || bot instanceof URL ? connect(bot) : bot
  const end = await new TwilioBridge(stream, socket, options).run()
  if (end.endedBy === 'bot') await stream.disconnect()
  return end
}

function connect(url: string | URL): WebSocket {
  try {
    return new WebSocket(url, { handshakeTimeout: HANDSHAKE_TIMEOUT, perMessageDeflate: false })
  } catch (err) {
    throw new ERR_TWILIO_BOT(
      `"${String(url)}" is no websocket url (${err instanceof Error ? err.message : String(err)})`
    )
  }
}
