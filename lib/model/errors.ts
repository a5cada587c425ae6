import { createError } from '@fastify/error'

// One table, grouped by where an error arises. Each message says what was wrong and what to do.

// Registration
export const ERR_OPTIONS = createError('FST_JAMBONZ_OPTIONS', 'fastify-jambonz-listen: %s', 500, TypeError)
export const ERR_CREDENTIALS = createError('FST_JAMBONZ_CREDENTIALS', '%s: %s', 500, TypeError)
export const ERR_MONITOR = createError(
  'FST_JAMBONZ_MONITOR',
  'there is no fastify.jambonz here: register fastify-jambonz-listen before its monitor',
  500
)
export const ERR_AUDIO_PATH = createError('FST_JAMBONZ_AUDIO_PATH', 'audio path "%s": %s', 500, TypeError)

// Verbs on their way out (lib/verbs)
export const ERR_VERB_INVALID = createError('FST_JAMBONZ_VERB_INVALID', 'invalid verb: %s', 500)

// The audio socket (lib/audio, lib/listening, routes/audio)
export const ERR_AUDIO_AUTH = createError(
  'FST_JAMBONZ_AUDIO_AUTH',
  'wrong or missing Basic credentials for the audio socket: wsAuth of the listen verb must be the option auth',
  401
)
export const ERR_AUDIO_PATH_UNKNOWN = createError(
  'FST_JAMBONZ_AUDIO_PATH_UNKNOWN',
  'this audio path was not given out by this application: all instances need the same option secret',
  404
)
export const ERR_AUDIO_PATH_USED = createError(
  'FST_JAMBONZ_AUDIO_PATH_USED',
  'this audio path has had its socket: each listen opens one',
  409
)
export const ERR_AUDIO_PATH_EXPIRED = createError(
  'FST_JAMBONZ_AUDIO_PATH_EXPIRED',
  'this audio path was given out %s ago, and opens a socket for %s: let the call ask for a new listen',
  410
)
export const ERR_AUDIO_PATH_FORGOTTEN = createError(
  'FST_JAMBONZ_AUDIO_PATH_FORGOTTEN',
  'no listen "%s" is known here: its call has been forgotten, or all instances need the same store',
  404
)
export const ERR_AUDIO_HANDSHAKE = createError(
  'FST_JAMBONZ_AUDIO_HANDSHAKE',
  'this is no websocket handshake: %s',
  400
)
export const ERR_AUDIO_SUBPROTOCOL = createError(
  'FST_JAMBONZ_AUDIO_SUBPROTOCOL',
  'the audio socket speaks the subprotocol audio.jambonz.org, not "%s"',
  400
)
export const ERR_AUDIO_DRAINING = createError(
  'FST_JAMBONZ_AUDIO_DRAINING',
  'this instance is shutting down and takes no new audio',
  503
)
export const ERR_AUDIO_FULL = createError(
  'FST_JAMBONZ_AUDIO_FULL',
  'this instance has its %s streams (limits.maxStreams)',
  503
)
export const ERR_AUDIO_ROUTE = createError(
  'FST_JAMBONZ_AUDIO_ROUTE',
  'the listen url "%s" is no audio route of this application: register it with fastify.jambonz.audio(), or leave url out',
  500
)
export const ERR_AUDIO_MODE = createError(
  'FST_JAMBONZ_AUDIO_MODE',
  '%s() is not possible on this stream: the listen verb must say bidirectionalAudio: %s',
  500
)
export const ERR_AUDIO_CLOSED = createError(
  'FST_JAMBONZ_AUDIO_CLOSED',
  'the listen has ended: the caller hears nothing more of what is written. Stop writing when the stream is destroyed',
  500
)
export const ERR_AUDIO_FILE = createError('FST_JAMBONZ_AUDIO_FILE', 'this audio can not be played: %s', 500)
export const ERR_AUDIO_CHANNEL = createError('FST_JAMBONZ_AUDIO_CHANNEL', '%s', 500)
export const ERR_TWILIO_BOT = createError(
  'FST_JAMBONZ_TWILIO_BOT',
  'the bot behind bridgeTwilio() failed: %s',
  502
)

// Recording (lib/recording)
export const ERR_RECORDING_OPEN = createError(
  'FST_JAMBONZ_RECORDING_OPEN',
  'recording "%s" could not be opened: %s'
)
export const ERR_RECORDING_WRITE = createError(
  'FST_JAMBONZ_RECORDING_WRITE',
  'recording "%s" could not be written: %s'
)
export const ERR_RECORDING_STALLED = createError(
  'FST_JAMBONZ_RECORDING_STALLED',
  'recording "%s" was given up: %s'
)
export const ERR_RECORDING_SINK = createError(
  'FST_JAMBONZ_RECORDING_SINK',
  'the sink of recording "%s" failed: %s'
)
export const ERR_RECORDING_KEY = createError(
  'FST_JAMBONZ_RECORDING_KEY',
  'recording "%s" could not be encrypted: %s. Let encryption.key return 32 bytes'
)
export const ERR_RECORDING_DECRYPT = createError(
  'FST_JAMBONZ_RECORDING_DECRYPT',
  'the recording could not be decrypted: %s'
)
export const ERR_RECORDING_FORMAT = createError('FST_JAMBONZ_RECORDING_FORMAT', 'not a recording of ours: %s')
export const ERR_RECORDING_FFMPEG = createError(
  'FST_JAMBONZ_RECORDING_FFMPEG',
  'compressing recordings needs ffmpeg: %s. Install ffmpeg, set recording.ffmpeg to its path, or leave out recording.format'
)
export const ERR_RECORDING_CLOSED = createError(
  'FST_JAMBONZ_RECORDING_CLOSED',
  'recording "%s" was cut short: %s'
)

// Store (lib/store)
export const ERR_CALL_DATA = createError(
  'FST_JAMBONZ_CALL_DATA',
  'what was to be written of call %s is not JSON: %s',
  500,
  TypeError
)
export const ERR_REDIS_STORE = createError('FST_JAMBONZ_REDIS_STORE', 'redisStore: %s', 500, TypeError)

// Webhooks and hooks on their way in (lib/application, routes)
export const ERR_SIGNATURE_MISSING = createError(
  'FST_JAMBONZ_SIGNATURE_MISSING',
  'no Jambonz-Signature header: only jambonz may call this url',
  401
)
export const ERR_SIGNATURE_MALFORMED = createError(
  'FST_JAMBONZ_SIGNATURE_MALFORMED',
  'Jambonz-Signature must read t=<unix seconds>,v1=<hex>',
  401
)
export const ERR_SIGNATURE_STALE = createError(
  'FST_JAMBONZ_SIGNATURE_STALE',
  'Jambonz-Signature is %s s old, more than signatureTolerance allows: check the clocks of both machines',
  401
)
export const ERR_SIGNATURE_MISMATCH = createError(
  'FST_JAMBONZ_SIGNATURE_MISMATCH',
  'Jambonz-Signature does not fit the body: check that webhookSecret is the one in the jambonz portal',
  401
)
export const ERR_SIGNATURE_GET = createError(
  'FST_JAMBONZ_SIGNATURE_GET',
  'a webhook with method GET can not be verified, since jambonz signs a payload that it does not send: set POST in the jambonz portal',
  401
)
export const ERR_HANDLER_THREW = createError(
  'FST_JAMBONZ_HANDLER_THREW',
  'a handler threw %s, which is no Error: throw one that says what went wrong',
  500
)
export const ERR_WEBHOOK_AUTH = createError(
  'FST_JAMBONZ_WEBHOOK_AUTH',
  'wrong or missing Basic credentials: enter those of webhookAuth in the jambonz portal',
  401
)
export const ERR_CALL_SID = createError(
  'FST_JAMBONZ_CALL_SID',
  'the payload has no call_sid of 1 to %s bytes: this url is for jambonz',
  400
)
export const ERR_HOOK_KEY = createError(
  'FST_JAMBONZ_HOOK_KEY',
  "this GET hook has no valid key: only a listen whose actionHook says method: 'GET' is given one, in its url",
  404
)
export const ERR_UNKNOWN_LISTEN = createError(
  'FST_JAMBONZ_UNKNOWN_LISTEN',
  'no listen "%s" is known here: it has expired, or another secret or store gave it out',
  404
)

// The application websocket and live calls (lib/application/websocket, lib/application/control)
export const ERR_WEBSOCKET_AUTH = createError(
  'FST_JAMBONZ_WEBSOCKET_AUTH',
  'jambonz does not sign what it sends over an application websocket: with the option webhookSecret set webhookAuth, too, and enter it in the jambonz portal',
  401
)
export const ERR_WEBSOCKET_DRAINING = createError(
  'FST_JAMBONZ_WEBSOCKET_DRAINING',
  'this instance is shutting down and takes no new calls',
  503
)
export const ERR_MESSAGE_TOO_LONG = createError(
  'FST_JAMBONZ_MESSAGE_TOO_LONG',
  'over an application websocket jambonz takes messages of %s bytes, and these verbs are %s bytes of JSON: answer fewer or shorter ones, and send the others later with calls.redirect(callSid, verbs, { queue: true })',
  500
)
export const ERR_NOT_REACHED = createError('FST_JAMBONZ_NOT_REACHED', 'call %s can not be commanded: %s', 404)
export const ERR_API_MISSING = createError(
  'FST_JAMBONZ_API_MISSING',
  "%s needs the option api: { baseUrl, accountSid, token } of jambonz' REST api",
  500
)
export const ERR_API = createError(
  'FST_JAMBONZ_API',
  "jambonz' REST api could not be asked (%s Calls): %s. Check api.baseUrl, and that it can be reached from here",
  502
)
export const ERR_API_REFUSED = createError(
  'FST_JAMBONZ_API_REFUSED',
  "jambonz' REST api refused %s Calls with status %s: %s",
  502
)
