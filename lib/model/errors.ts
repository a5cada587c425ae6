import { createError } from '@fastify/error'

// One table, grouped by where an error arises. Each message says what was wrong and what to do.

/** A row in the documentation's tables of errors. `status` is undefined if no request is answered with this error. */
export type ErrorRow = Readonly<{ code: string; status: number | undefined; when: string }>

/** All errors, in the order of this file. */
export const ERRORS: ErrorRow[] = []

/** Returns the class of an error. `when`: the case in which it arises, for the documentation. */
function define<Code extends string>(
  code: Code,
  when: string,
  message: string,
  status?: number,
  Base?: ErrorConstructor
) {
  ERRORS.push({ code, status, when })
  return createError(code, message, status, Base)
}

// Registration
export const ERR_OPTIONS = define(
  'FST_JAMBONZ_OPTIONS',
  'registration, a stream, `calls` or `drain()`: an option or an argument is wrong; the message names it',
  'fastify-jambonz-listen: %s',
  500,
  TypeError
)
export const ERR_CREDENTIALS = define(
  'FST_JAMBONZ_CREDENTIALS',
  'registration, or a listen verb: jambonz cannot send these Basic credentials',
  '%s: %s',
  500,
  TypeError
)
export const ERR_MONITOR = define(
  'FST_JAMBONZ_MONITOR',
  'registration: the monitor is registered without the plugin',
  'there is no fastify.jambonz here: register fastify-jambonz-listen before its monitor',
  500
)
export const ERR_REGISTERED = define(
  'FST_JAMBONZ_REGISTERED',
  'registration: the plugin is registered twice in one scope',
  'fastify-jambonz-listen is registered already in this scope%s: register it once, or a second time in a scope with a prefix (fastify.register(async (scope) => { … }, { prefix: "/v2" })), or in a scope with another audioPath',
  500
)
export const ERR_AUDIO_PATH = define(
  'FST_JAMBONZ_AUDIO_PATH',
  'registration: the path of an audio route is registered twice, or has parameters',
  'audio path "%s": %s',
  500,
  TypeError
)

// Verbs of the application (lib/verbs)
export const ERR_VERB_INVALID = define(
  'FST_JAMBONZ_VERB_INVALID',
  'a handler returned a verb that jambonz would refuse',
  'invalid verb: %s',
  500
)

// The audio socket (lib/audio, lib/listening, routes/audio)
export const ERR_AUDIO_AUTH = define(
  'FST_JAMBONZ_AUDIO_AUTH',
  'an audio socket has wrong Basic credentials',
  'wrong or missing Basic credentials for the audio socket: the wsAuth of the listen verb must equal the option auth',
  401
)
export const ERR_AUDIO_PATH_UNKNOWN = define(
  'FST_JAMBONZ_AUDIO_PATH_UNKNOWN',
  'the path of an audio socket was not signed by this application',
  'this application did not sign this audio path. If it has several instances, all need the same option secret',
  404
)
export const ERR_AUDIO_PATH_USED = define(
  'FST_JAMBONZ_AUDIO_PATH_USED',
  'a second audio socket came for the same listen',
  'this audio path was used already, and each listen opens only one socket',
  409
)
export const ERR_AUDIO_PATH_EXPIRED = define(
  'FST_JAMBONZ_AUDIO_PATH_EXPIRED',
  'the path of an audio socket is more than six hours old',
  'this audio path was signed %s ago, and is valid for %s. Answer the call with a new listen verb',
  410
)
export const ERR_AUDIO_PATH_FORGOTTEN = define(
  'FST_JAMBONZ_AUDIO_PATH_FORGOTTEN',
  'an audio socket came for a call that the store has dropped',
  'the store does not have the listen "%s". Its call has expired, or another instance with another store answered it',
  404
)
export const ERR_AUDIO_HANDSHAKE = define(
  'FST_JAMBONZ_AUDIO_HANDSHAKE',
  'a request to an audio path is not a websocket handshake',
  'this is no websocket handshake: %s',
  400
)
export const ERR_AUDIO_SUBPROTOCOL = define(
  'FST_JAMBONZ_AUDIO_SUBPROTOCOL',
  "an audio socket does not offer jambonz' subprotocol",
  'the audio socket speaks the subprotocol audio.jambonz.org, not "%s"',
  400
)
export const ERR_AUDIO_DRAINING = define(
  'FST_JAMBONZ_AUDIO_DRAINING',
  'an audio socket came while the instance shuts down',
  'this instance is shutting down and takes no audio of new calls',
  503
)
export const ERR_AUDIO_FULL = define(
  'FST_JAMBONZ_AUDIO_FULL',
  'an audio socket came while the instance already had `limits.maxStreams` streams',
  'this instance already has the maximum of %s streams (limits.maxStreams)',
  503
)
export const ERR_AUDIO_ROUTE = define(
  'FST_JAMBONZ_AUDIO_ROUTE',
  'the relative `url` of a listen verb is not an audio route',
  'the listen url "%s" is no audio route of this application: register it with fastify.jambonz.audio(), or leave url out',
  500
)
export const ERR_AUDIO_MODE = define(
  'FST_JAMBONZ_AUDIO_MODE',
  'a method of a stream needs another value of `bidirectionalAudio` in the listen verb',
  '%s() is not possible on this stream: the listen verb must have bidirectionalAudio: %s',
  500
)
export const ERR_AUDIO_CLOSED = define(
  'FST_JAMBONZ_AUDIO_CLOSED',
  '`write()` was called after the caller had hung up',
  'the listen has ended, so the caller does not hear this audio. Stop writing when the stream is destroyed',
  500
)
export const ERR_AUDIO_FILE = define(
  'FST_JAMBONZ_AUDIO_FILE',
  '`play()` or `write()` got audio that can not be played',
  'this audio can not be played: %s',
  500
)
export const ERR_AUDIO_CHANNEL = define(
  'FST_JAMBONZ_AUDIO_CHANNEL',
  '`channel()` was called for a channel that the stream does not have',
  '%s',
  500
)
export const ERR_TWILIO_BOT = define(
  'FST_JAMBONZ_TWILIO_BOT',
  'the bot behind `bridgeTwilio()` failed',
  'the bot behind bridgeTwilio() failed: %s',
  502
)

// Recording (lib/recording)
export const ERR_RECORDING_OPEN = define(
  'FST_JAMBONZ_RECORDING_OPEN',
  'the file of the recording cannot be created',
  'recording "%s" could not be opened: %s'
)
export const ERR_RECORDING_WRITE = define(
  'FST_JAMBONZ_RECORDING_WRITE',
  'the recording cannot be written: the disk is full, the directory was removed, …',
  'recording "%s" could not be written: %s'
)
export const ERR_RECORDING_STALLED = define(
  'FST_JAMBONZ_RECORDING_STALLED',
  'the disk or sink accepted no data for `writeTimeout`, or more data than `maxBuffered` or `maxMemory` waits for the disk or sink',
  'recording "%s" was given up: %s'
)
export const ERR_RECORDING_SINK = define(
  'FST_JAMBONZ_RECORDING_SINK',
  'the function `sink` threw, or its Writable failed or closed too early',
  'the sink of recording "%s" failed: %s'
)
export const ERR_RECORDING_KEY = define(
  'FST_JAMBONZ_RECORDING_KEY',
  '`encryption.key` returned no key',
  'recording "%s" could not be encrypted: %s. Let encryption.key return 32 bytes'
)
export const ERR_RECORDING_DECRYPT = define(
  'FST_JAMBONZ_RECORDING_DECRYPT',
  'the key is wrong, the recording is damaged, or the input of `decryptRecording()` is no encrypted recording',
  'the recording could not be decrypted: %s'
)
export const ERR_RECORDING_FFMPEG = define(
  'FST_JAMBONZ_RECORDING_FFMPEG',
  'ffmpeg is missing or failed',
  'compressing recordings needs ffmpeg: %s. Install ffmpeg, set recording.ffmpeg to its path, or leave out recording.format'
)
export const ERR_RECORDING_CLOSED = define(
  'FST_JAMBONZ_RECORDING_CLOSED',
  'the server was closed before the recording was complete; the next start completes it',
  'recording "%s" was cut short: %s'
)

// Store (lib/store)
export const ERR_CALL_DATA = define(
  'FST_JAMBONZ_CALL_DATA',
  '`calls.update()` got data that is not JSON',
  'the data of call %s is not JSON: %s',
  500,
  TypeError
)
export const ERR_REDIS_STORE = define(
  'FST_JAMBONZ_REDIS_STORE',
  'registration: `redisStore()` got no client, or a wrong option',
  'redisStore: %s',
  500,
  TypeError
)

// Webhooks and hooks of jambonz (lib/application, routes)
export const ERR_SIGNATURE_MISSING = define(
  'FST_JAMBONZ_SIGNATURE_MISSING',
  'a request to a webhook or hook has no signature',
  'no Jambonz-Signature header: only jambonz may call this url',
  401
)
export const ERR_SIGNATURE_MALFORMED = define(
  'FST_JAMBONZ_SIGNATURE_MALFORMED',
  'the format of a signature is wrong',
  'Jambonz-Signature must read t=<unix seconds>,v1=<hex>',
  401
)
export const ERR_SIGNATURE_STALE = define(
  'FST_JAMBONZ_SIGNATURE_STALE',
  'a signature is older than `signatureTolerance`',
  'Jambonz-Signature is %s s old, more than signatureTolerance allows: check the clocks of both machines',
  401
)
export const ERR_SIGNATURE_MISMATCH = define(
  'FST_JAMBONZ_SIGNATURE_MISMATCH',
  'a signature does not match the body and `webhookSecret`',
  'Jambonz-Signature does not fit the body: check that webhookSecret is the one in the jambonz portal',
  401
)
export const ERR_SIGNATURE_GET = define(
  'FST_JAMBONZ_SIGNATURE_GET',
  '`webhookSecret` is set, and the signature of a GET webhook can not be verified',
  'a webhook with method GET can not be verified, since jambonz signs a payload that it does not send: set POST in the jambonz portal or, for a hook, in the verb',
  401
)
export const ERR_HANDLER_THREW = define(
  'FST_JAMBONZ_HANDLER_THREW',
  'a handler threw a value that is not an `Error`',
  'a handler threw %s, which is not an Error. Throw an Error that says what went wrong',
  500
)
export const ERR_WEBHOOK_AUTH = define(
  'FST_JAMBONZ_WEBHOOK_AUTH',
  'a request to a webhook or hook has wrong Basic credentials',
  'wrong or missing Basic credentials: enter the credentials of the option webhookAuth in the jambonz portal',
  401
)
export const ERR_CALL_SID = define(
  'FST_JAMBONZ_CALL_SID',
  'the payload of a request has no `call_sid`',
  'the payload has no call_sid of 1 to %s bytes. Only jambonz should request this url. If this is the toolHook or eventHook of a verb, which has no call_sid over HTTP, serve it with fastify.post() in place of webhook()',
  400
)
export const ERR_HOOK_KEY = define(
  'FST_JAMBONZ_HOOK_KEY',
  'a GET hook has no valid key',
  "this GET hook has no valid key. The plugin puts a key into the url only for an actionHook with method: 'GET'",
  404
)
export const ERR_HOOK_LISTEN = define(
  'FST_JAMBONZ_HOOK_LISTEN',
  'a GET hook names no listen',
  "this GET request names no listen. The plugin puts ?listen= and a key into the url only for the actionHook of a listen with method: 'GET'. Other hooks need method: 'POST'",
  404
)
export const ERR_UNKNOWN_LISTEN = define(
  'FST_JAMBONZ_UNKNOWN_LISTEN',
  'a GET hook names a listen that the store does not have',
  'the store does not have the listen "%s". It has expired, or another instance with another secret or store answered it',
  404
)

// The application websocket and live calls (lib/application/websocket, lib/application/control)
export const ERR_WEBSOCKET_AUTH = define(
  'FST_JAMBONZ_WEBSOCKET_AUTH',
  'an application websocket came, and `webhookSecret` is set without `webhookAuth`',
  'jambonz does not sign the messages of an application websocket. Set the option webhookAuth besides webhookSecret, and enter its credentials in the jambonz portal',
  401
)
export const ERR_WEBSOCKET_DRAINING = define(
  'FST_JAMBONZ_WEBSOCKET_DRAINING',
  'an application websocket came while the instance shuts down',
  'this instance is shutting down and takes no new calls',
  503
)
export const ERR_HOOK_ROUTE = define(
  'FST_JAMBONZ_HOOK_ROUTE',
  'the hook in a message of an application websocket is a route that was not registered with `webhook()` or `actionHook()`',
  'an application websocket can only call routes of webhook() and actionHook(), and %s is another route. Register it with one of these methods',
  404
)
export const ERR_MESSAGE_TOO_LONG = define(
  'FST_JAMBONZ_MESSAGE_TOO_LONG',
  'the verbs of an answer are too long for an application websocket',
  'jambonz takes messages of at most %s bytes over an application websocket, and the JSON of these verbs has %s bytes. Answer fewer or shorter verbs, and send the other verbs later with calls.redirect(callSid, verbs, { queue: true })',
  500
)
export const ERR_COMMAND_TOO_LONG = define(
  'FST_JAMBONZ_COMMAND_TOO_LONG',
  'a command is too long for an application websocket',
  'jambonz takes messages of at most %s bytes over an application websocket, and the JSON of the command %s has %s bytes. Send less at once',
  500
)
export const ERR_NOT_REACHED = define(
  'FST_JAMBONZ_NOT_REACHED',
  'no instance has a connection to the call that a command is for',
  'no command can be sent to call %s: %s',
  404
)
export const ERR_API_MISSING = define(
  'FST_JAMBONZ_API_MISSING',
  'a method was called that needs the option `api`',
  "%s needs the option api: { baseUrl, accountSid, token } of jambonz' REST api",
  500
)
export const ERR_API = define(
  'FST_JAMBONZ_API',
  "jambonz' REST api could not be reached, or did not answer in time",
  "jambonz' REST api could not be asked (%s Calls): %s. Check api.baseUrl, and that it can be reached from here",
  502
)
export const ERR_API_REFUSED = define(
  'FST_JAMBONZ_API_REFUSED',
  "jambonz' REST api refused a request, or gave an answer that the plugin cannot read",
  "jambonz' REST api answered %s Calls with status %s: %s",
  502
)

/** Returns true for the error that Node.js, or the code of a bundler, throws for a package that is not installed. */
export function isNotInstalled(err: unknown): boolean {
  const { code } = err as { code?: unknown }
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
}
