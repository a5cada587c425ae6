import type { Listen } from '../../lib/model/schema.js'
import { MAX_METADATA_BYTES, MAX_URL_LENGTH, type ListenOptions } from '../../lib/verbs/index.js'

/**
 * A row tests one option, or one sentence, in jambonz' documentation of the listen verb. Rows contain only
 * data, because listenOptions.test.ts tests each of them as a listen, as `stream`, and nested in a dial.
 */
export interface ListenRow {
  /** the title: a sentence of jambonz' documentation, or a consequence of it */
  says: string
  listen: Record<string, unknown> & Partial<Record<keyof ListenOptions, unknown>>
  /** properties that must be sent to jambonz */
  sends?: object
  /** properties that must not be sent to jambonz */
  omits?: string[]
  /** fields that the Listen must have */
  expects?: Partial<Listen>
  /** the error message, if the listen must be refused */
  refused?: RegExp
}

const credentials = (bytes: number) => ({ username: 'user', password: 'p'.repeat(bytes - 4) })

export const LISTEN_ROWS: ListenRow[] = [
  // A listen without options
  {
    says: 'no option is required, because url and actionHook are filled in',
    listen: {},
    sends: {
      url: '/audio/listen-0.signature',
      actionHook: '/hook?listen=listen-0',
      id: 'listen-0',
      metadata: { jambonzListenId: 'listen-0' }
    },
    omits: ['mixType', 'sampleRate', 'passDtmf', 'finishOnKey', 'bidirectionalAudio', 'wsAuth'],
    expects: {
      id: 'listen-0',
      path: '/audio',
      state: 'expected',
      connected: false,
      mixType: 'mono',
      sampleRate: 8_000,
      channels: 1,
      bidirectional: { mode: 'file', sampleRate: 8_000 },
      audio: { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 }
    }
  },

  // actionHook: webhook to invoke when listen operation ends
  {
    says: 'actionHook: a path is sent with the id of its listen',
    listen: { actionHook: '/done' },
    sends: { actionHook: '/done?listen=listen-0' }
  },
  {
    says: 'actionHook: an absolute url is sent unchanged',
    listen: { actionHook: 'https://example.com/done' },
    sends: { actionHook: 'https://example.com/done', id: 'listen-0' }
  },
  {
    says: 'actionHook: an object can have its own method and credentials',
    listen: { actionHook: { url: '/done', method: 'GET', basicAuth: { username: 'a', password: 'b' } } },
    sends: {
      actionHook: { url: '/done?listen=listen-0', method: 'GET', basicAuth: { username: 'a', password: 'b' } }
    }
  },
  {
    says: 'actionHook: a method other than GET and POST is refused',
    listen: { actionHook: { url: '/done', method: 'PUT' } },
    refused: /actionHook\.method is "PUT": use one of "GET", "POST"/
  },
  {
    says: 'actionHook: an object without url is refused',
    listen: { actionHook: { method: 'GET' } },
    refused: /actionHook\.url is missing/
  },
  {
    says: 'actionHook: a number is refused',
    listen: { actionHook: 5 },
    refused: /actionHook is 5: must be string or object/
  },

  // finishOnKey: the set of digits that can end the listen action
  {
    says: 'finishOnKey: jambonz ends a listen on a single key',
    listen: { finishOnKey: '#' },
    sends: { finishOnKey: '#' },
    omits: ['passDtmf'],
    expects: { finishOnKey: '#' }
  },
  {
    says: 'finishOnKey: the plugin ends a listen on any of several keys',
    listen: { finishOnKey: '12*#' },
    sends: { passDtmf: true },
    omits: ['finishOnKey'],
    expects: { finishOnKey: '12*#' }
  },
  {
    says: 'finishOnKey: with several keys, passDtmf is sent as true, whatever the verb says',
    listen: { finishOnKey: '*#', passDtmf: false },
    sends: { passDtmf: true }
  },
  {
    says: 'finishOnKey: the letters of a keypad are digits',
    listen: { finishOnKey: 'ABCD' },
    expects: { finishOnKey: 'ABCD' }
  },
  {
    says: 'finishOnKey: a character that is not a key is refused',
    listen: { finishOnKey: 'pound' },
    refused: /finishOnKey is "pound": must match pattern/
  },
  {
    says: 'finishOnKey: an empty text is not sent',
    listen: { finishOnKey: '' },
    sends: { finishOnKey: undefined }
  },
  {
    says: 'finishOnKey: a number is refused',
    listen: { finishOnKey: 1 },
    refused: /finishOnKey is 1: must be string/
  },

  // maxLength: the maximum length of the listened audio stream, in secs
  {
    says: 'maxLength: whole seconds are accepted',
    listen: { maxLength: 30 },
    sends: { maxLength: 30 },
    expects: { maxLength: 30 }
  },
  {
    says: 'maxLength: fractions of a second are accepted',
    listen: { maxLength: 0.5 },
    sends: { maxLength: 0.5 },
    expects: { maxLength: 0.5 }
  },
  {
    says: 'maxLength: zero means no limit',
    listen: { maxLength: 0 },
    sends: { maxLength: undefined }
  },
  {
    says: 'maxLength: a value too large for a timer is refused, because it would end the listen at once',
    listen: { maxLength: 2_147_484 },
    refused: /maxLength is 2147484: must be <= 2147483/
  },
  {
    says: 'maxLength: a text is refused',
    listen: { maxLength: '30' },
    refused: /maxLength is "30": must be number/
  },

  // metadata: arbitrary data to add to the JSON payload sent to the remote server
  {
    says: "metadata: is sent together with the listen's id, and the Listen has it unchanged",
    listen: { metadata: { customer: { id: 5, name: "O'Brien" }, tags: ['a'] } },
    sends: { metadata: { jambonzListenId: 'listen-0', customer: { id: 5, name: "O'Brien" }, tags: ['a'] } },
    expects: { metadata: { customer: { id: 5, name: "O'Brien" }, tags: ['a'] } }
  },
  {
    says: 'metadata: the largest object that reaches the socket completely is accepted',
    listen: { metadata: { text: 'x'.repeat(MAX_METADATA_BYTES - 11) } },
    sends: { metadata: { text: 'x'.repeat(MAX_METADATA_BYTES - 11) } }
  },
  {
    says: 'metadata: one byte more than the limit is refused',
    listen: { metadata: { text: 'x'.repeat(MAX_METADATA_BYTES - 10) } },
    refused: /metadata is 4097 bytes of JSON, more than the 4096/
  },
  {
    says: 'metadata: the limit counts bytes, not characters',
    listen: { metadata: { text: 'ü'.repeat(2_100) } },
    refused: /metadata is 4211 bytes/
  },
  {
    says: 'metadata: an array is refused',
    listen: { metadata: [1] },
    refused: /metadata is \[1\]: must be object/
  },
  ...[
    'callSid',
    'parentCallSid',
    'accountSid',
    'applicationSid',
    'direction',
    'from',
    'to',
    'callId',
    'callerId',
    'callerName',
    'callStatus',
    'sbcCallid',
    'sipStatus',
    'sipReason',
    'traceId',
    'fsSipAddress',
    'fsPublicIp',
    'apiBaseUrl',
    'originatingSipIp',
    'originatingSipTrunkName',
    'customerData',
    'headers',
    'sampleRate',
    'mixType',
    'jambonzListenId'
  ].map((key) => ({
    says: `metadata: the key ${key} is refused, because it would overwrite a call attribute`,
    listen: { metadata: { [key]: 'x' } },
    refused: new RegExp(`metadata\\.${key}: jambonz or this plugin uses this name`)
  })),

  // mixType
  {
    says: 'mixType: mono sends a single channel',
    listen: { mixType: 'mono' },
    sends: { mixType: 'mono' },
    expects: { mixType: 'mono', channels: 1 }
  },
  {
    says: 'mixType: stereo sends dual channels',
    listen: { mixType: 'stereo' },
    sends: { mixType: 'stereo' },
    expects: { mixType: 'stereo', channels: 2 }
  },
  {
    says: 'mixType: mixed sends both parties in a single channel',
    listen: { mixType: 'mixed' },
    sends: { mixType: 'mixed' },
    expects: { mixType: 'mixed', channels: 1 }
  },
  {
    says: 'mixType: any other value is refused',
    listen: { mixType: 'both' },
    refused: /mixType is "both": use one of "mono", "stereo", "mixed"/
  },

  // playBeep
  { says: 'playBeep: true is sent', listen: { playBeep: true }, sends: { playBeep: true } },
  { says: 'playBeep: false is sent', listen: { playBeep: false }, sends: { playBeep: false } },
  {
    says: 'playBeep: a text is refused',
    listen: { playBeep: 'true' },
    refused: /playBeep is "true": must be boolean/
  },

  // sampleRate: allowable values 8000, 16000, 24000, 48000, or 64000
  ...([8_000, 16_000, 24_000, 48_000, 64_000] as const).map((sampleRate) => ({
    says: `sampleRate: ${sampleRate} Hz is accepted`,
    listen: { sampleRate },
    sends: { sampleRate },
    expects: { sampleRate, bidirectional: { mode: 'file' as const, sampleRate } }
  })),
  ...[32_000, 11_025, 44_100, 0].map((sampleRate) => ({
    says: `sampleRate: ${sampleRate} is refused`,
    listen: { sampleRate },
    refused: new RegExp(`sampleRate is ${sampleRate}: use one of 8000, 16000, 24000, 48000, 64000`)
  })),
  {
    says: 'sampleRate: a text is refused',
    listen: { sampleRate: '8000' },
    refused: /sampleRate is "8000": use one of 8000/
  },

  // timeout: the number of seconds of silence that terminates the listen operation
  {
    says: 'timeout: the plugin ends the listen, and a key restarts the timeout',
    listen: { timeout: 3 },
    sends: { timeout: 3, passDtmf: true },
    expects: { timeout: 3 }
  },
  {
    says: 'timeout: zero means no timeout',
    listen: { timeout: 0 },
    sends: { timeout: undefined, passDtmf: undefined }
  },
  { says: 'timeout: -1 is refused', listen: { timeout: -1 }, refused: /timeout is -1: must be >= 0/ },
  { says: 'timeout: a text is refused', listen: { timeout: '3' }, refused: /timeout is "3": must be number/ },

  // transcribe: a nested transcribe verb
  {
    says: 'transcribe: is sent unchanged',
    listen: {
      transcribe: { transcriptionHook: '/transcript', recognizer: { vendor: 'deepgram', language: 'en-US' } }
    },
    sends: {
      transcribe: { transcriptionHook: '/transcript', recognizer: { vendor: 'deepgram', language: 'en-US' } }
    }
  },
  {
    says: 'transcribe: an invalid value is refused',
    listen: { transcribe: { recognizer: { language: 'en-US' } } },
    refused: /transcribe\.recognizer\.vendor is missing/
  },
  {
    says: 'transcribe: a property that jambonz does not know is refused',
    listen: { transcribe: { transcriptionhook: '/x' } },
    refused: /transcribe\.transcriptionhook: .*did you mean "transcriptionHook"\?/
  },

  // url: the url may be an absolute or relative URL
  {
    says: 'url: the path of an audio route becomes a signed path below it',
    listen: { url: '/custom' },
    sends: { url: '/custom/listen-0.signature' },
    expects: { path: '/custom' }
  },
  {
    says: 'url: a path that is not an audio route is refused',
    listen: { url: '/nowhere' },
    refused: /"\/nowhere" is no audio route/
  },
  { says: 'url: an empty text is refused', listen: { url: '' }, refused: /url is "": leave it out/ },
  {
    says: 'url: a url that could crash the media server is refused',
    listen: { url: `wss://example.com/${'x'.repeat(MAX_URL_LENGTH)}` },
    refused: /url is .*: at 418 characters it could crash/
  },
  {
    says: "url: a character that would end jambonz' command to the media server is refused",
    listen: { url: 'wss://example.com/a|b' },
    refused: /percent-encode/
  },
  { says: 'url: a space is refused', listen: { url: 'wss://example.com/a b' }, refused: /percent-encode/ },
  {
    says: 'url: a query right after the host is refused',
    listen: { url: 'ws://example.com:3000?x=1' },
    refused: /jambonz needs scheme:\/\/host/
  },
  {
    says: 'url: credentials in the url are refused, and not shown in the error',
    listen: { url: 'wss://user:hunter2@example.com/' },
    refused: /url is "wss:\/\/\*\*\*@example\.com\/": .*put credentials into wsAuth/
  },
  { says: 'url: an IPv6 address is refused', listen: { url: 'ws://[::1]:3000/audio' }, refused: /IPv6/ },

  // wsAuth: HTTP basic auth username and password to use on websocket connection
  {
    says: 'wsAuth: username and password are sent',
    listen: { wsAuth: { username: 'a', password: 'b' } },
    sends: { wsAuth: { username: 'a', password: 'b' } }
  },
  {
    says: 'wsAuth: the longest credentials that jambonz can send are accepted',
    listen: { wsAuth: credentials(89) },
    sends: { wsAuth: credentials(89) }
  },
  {
    says: 'wsAuth: one byte more is refused, because the credentials would arrive cut',
    listen: { wsAuth: credentials(90) },
    refused: /wsAuth: username and password are 90 bytes together, and jambonz sends at most 89/
  },
  {
    says: 'wsAuth: the limit counts bytes, not characters',
    listen: { wsAuth: { username: 'ü'.repeat(44), password: 'xy' } },
    refused: /are 90 bytes/
  },
  {
    says: 'wsAuth: a colon in the username is refused',
    listen: { wsAuth: { username: 'a:b', password: 'c' } },
    refused: /username has a colon/
  },
  {
    says: 'wsAuth: an empty username is refused',
    listen: { wsAuth: { username: '', password: 'c' } },
    refused: /username is empty/
  },
  {
    says: 'wsAuth: an empty password is refused',
    listen: { wsAuth: { username: 'a', password: '' } },
    refused: /password is empty/
  },
  {
    says: 'wsAuth: a line feed is refused',
    listen: { wsAuth: { username: 'a', password: 'b\n' } },
    refused: /control character/
  },
  {
    says: 'wsAuth: a username without a password is refused',
    listen: { wsAuth: { username: 'a' } },
    refused: /wsAuth\.password is missing/
  },
  {
    says: 'wsAuth: a password that is not a text is refused, and not shown in the error',
    listen: { wsAuth: { username: 'a', password: 271_828 } },
    refused: /wsAuth\.password is a hidden value: must be string/
  },

  // Options that jambonz accepts but does not document
  { says: 'passDtmf: is sent', listen: { passDtmf: true }, sends: { passDtmf: true } },
  { says: 'earlyMedia: is sent', listen: { earlyMedia: true }, sends: { earlyMedia: true } },
  { says: 'channel: 2 is sent', listen: { channel: 2 }, sends: { channel: 2 } },
  { says: 'channel: 3 is refused', listen: { channel: 3 }, refused: /channel is 3: use one of 1, 2/ },
  {
    says: "id: the application's id is sent, and the Listen keeps the plugin's id",
    listen: { id: 'mine' },
    sends: { id: 'mine' },
    expects: { id: 'listen-0' }
  },
  {
    says: 'auth: is sent unchanged',
    listen: { auth: { username: 'a', password: 'b' } },
    sends: { auth: { username: 'a', password: 'b' } }
  },

  // bidirectionalAudio: audio from the server to the caller
  {
    says: 'bidirectionalAudio: enabled lets the application play files',
    listen: { bidirectionalAudio: { enabled: true } },
    sends: { bidirectionalAudio: { enabled: true } },
    expects: { bidirectional: { mode: 'file', sampleRate: 8_000 } }
  },
  {
    says: 'bidirectionalAudio: without enabled, the application can play nothing',
    listen: { bidirectionalAudio: { enabled: false } },
    sends: { bidirectionalAudio: { enabled: false } },
    expects: { bidirectional: { mode: 'off', sampleRate: 8_000 } }
  },
  {
    says: 'disableBidirectionalAudio: the application can play nothing',
    listen: { disableBidirectionalAudio: true },
    sends: { disableBidirectionalAudio: true },
    expects: { bidirectional: { mode: 'off', sampleRate: 8_000 } }
  },
  {
    says: "bidirectionalAudio: streaming without a rate would be mute, so it gets the verb's rate",
    listen: { sampleRate: 16_000, bidirectionalAudio: { streaming: true } },
    sends: { bidirectionalAudio: { streaming: true, sampleRate: 16_000 } },
    expects: { bidirectional: { mode: 'streaming', sampleRate: 16_000 } }
  },
  {
    says: "bidirectionalAudio: streaming without any rate gets jambonz' default rate",
    listen: { bidirectionalAudio: { enabled: true, streaming: true } },
    sends: { bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8_000 } },
    expects: { bidirectional: { mode: 'streaming', sampleRate: 8_000 } }
  },
  {
    says: 'bidirectionalAudio: streaming may have its own rate',
    listen: { bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 32_000 } },
    sends: { bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 32_000 } },
    expects: { sampleRate: 8_000, bidirectional: { mode: 'streaming', sampleRate: 32_000 } }
  },
  {
    says: 'bidirectionalAudio: a rate that the media server does not know is refused',
    listen: { bidirectionalAudio: { streaming: true, sampleRate: 22_050 } },
    refused: /bidirectionalAudio\.sampleRate is 22050: use one of 8000, 16000, 24000, 32000, 48000, 64000/
  },
  {
    says: 'bidirectionalAudio: streaming without enabled is refused, because it would be mute',
    listen: { bidirectionalAudio: { enabled: false, streaming: true } },
    refused: /the caller would hear nothing: set enabled to true/
  },
  {
    says: 'disableBidirectionalAudio: is refused together with streaming, because the stream would be mute',
    listen: { disableBidirectionalAudio: true, bidirectionalAudio: { streaming: true } },
    refused: /disableBidirectionalAudio contradicts/
  },
  {
    says: 'disableBidirectionalAudio: is refused together with enabled, because they contradict each other',
    listen: { disableBidirectionalAudio: true, bidirectionalAudio: { enabled: true } },
    refused: /disableBidirectionalAudio contradicts/
  },

  // Unknown properties. A single one makes jambonz refuse all verbs of the answer.
  {
    says: 'an unknown property is refused, and the error names a similar property',
    listen: { maxlength: 5 },
    refused: /maxlength: jambonz knows no such property.*did you mean "maxLength"\?/
  },
  {
    says: 'an unknown property without a similar one is refused, and the error lists all properties',
    listen: { foo: 5 },
    refused: /foo: .*: use one of actionHook, url, mixType/
  },
  {
    says: 'an unknown property of a nested object is refused',
    listen: { bidirectionalAudio: { enable: true } },
    refused: /bidirectionalAudio\.enable: .*did you mean "enabled"\?/
  }
]
