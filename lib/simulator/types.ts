import type { Speech } from './audio/load.js'
import type { Faults } from './faults.js'
import type { Problem } from './problems.js'

/** An object with a node:http server: a Fastify or an http.Server instance. */
export interface AppLike {
  server?: unknown | undefined
  ready?: (() => unknown) | undefined
}

/**
 * The caller's key presses: `'#'` (after the speech), `'1@2s'`, `'#@3500ms'`, or a list. Times count from the first
 * listen of the application. jambonz reports a key when it is released. While a key is down, jambonz does not hear the
 * caller.
 */
export type Press = string | TimedKeys | Array<string | TimedKeys>

/** `holdMs`: ms that each key is down (100). */
export interface TimedKeys {
  digits: string
  atMs?: number | undefined
  holdMs?: number | undefined
}

/**
 * A line that the caller says, as text, for gather (speech) and transcribe. Times count from the first listen, as in
 * `Press`.
 */
export interface Transcript {
  text: string
  atMs?: number | undefined
  confidence?: number | undefined
}

/** The behaviour of a dialled party. By default it answers after 1 s, says a speech-like signal, and hangs up. */
export interface BLeg {
  /** `false`: the phone rings until the dial's timeout. A number: the dial fails with this SIP status (486 is busy). */
  answer?: boolean | number | undefined
  answerAfterMs?: number | undefined
  speech?: Speech | null | undefined
  hangUpAfterMs?: number | undefined
}

export interface SimulateCallOptions {
  /** Absolute url of the application's call webhook, or (`ws://`, `wss://`) of its application websocket. */
  url?: string | undefined
  /** An application of this process, in place of a url. Its requests do not use the network. */
  app?: unknown | undefined
  /** With `app`: path of the call webhook. */
  hook?: string | undefined
  /** With `app`: the transport of jambonz' requests. Default `http`. */
  transport?: 'http' | 'websocket' | undefined
  /**
   * With `app`: the public address of the application. Socket and hook urls that begin with it lead to `app`. Default
   * `http://127.0.0.1`.
   */
  publicUrl?: string | undefined
  /**
   * Accepts self-signed certificates (https webhooks, wss sockets). jambonz accepts them only if it is configured to.
   */
  allowSelfSigned?: boolean | undefined
  webhookMethod?: 'POST' | 'GET' | undefined
  /** Path or absolute url of the call status hook. Default: none. */
  statusHook?: string | undefined
  from?: string | undefined
  to?: string | undefined
  callerName?: string | undefined
  callSid?: string | undefined
  accountSid?: string | undefined
  applicationSid?: string | undefined
  direction?: 'inbound' | 'outbound' | undefined
  /** The secret that signs every request. Default: a random secret, because jambonz always signs. */
  webhookSecret?: string | undefined
  /**
   * HTTP Basic credentials of the webhooks. A socket with a relative url gets these credentials in place of the verb's
   * wsAuth.
   */
  webhookAuth?: { username: string; password: string } | undefined
  /** Application environment variables, sent in the first webhook as `env_vars`. */
  env?: Record<string, unknown> | undefined
  /** The audio that the caller says. Default: 3 s of a speech-like signal; `null`: none. */
  speech?: Speech | null | undefined
  /** The time at which the caller begins to speak: at the first listen (default), or at the answer. */
  speakAt?: 'listen' | 'answer' | undefined
  press?: Press | undefined
  transcripts?: Array<string | Transcript> | undefined
  /** Simulated ms after the answer at which the caller hangs up. */
  hangUpAfterMs?: number | undefined
  /**
   * Simulated ms without audio from a listen after which the caller hangs up, once his speech and keys are over.
   * Default 2000; Infinity with `hangUpAfterMs`.
   */
  patienceMs?: number | undefined
  bLeg?: BLeg | undefined
  /** Has the account record all calls: jambonz opens a stereo socket to this absolute url when the call is answered. */
  recordAllCalls?: { url: string; wsAuth?: { username: string; password: string } | undefined } | undefined
  /**
   * true: accepts an `actionHook` in `config.listen`; the verbs of its answer then replace the application. Default
   * false: jambonz refuses such an application, as the published specifications do (@jambonz/verb-specifications
   * 0.1.13).
   */
  configListenHook?: boolean | undefined
  /**
   * The version of jambonz. `'0.9'` (default): feature server 0.9.8 with FreeSWITCH, as it was measured. `'11'`: the
   * commercial edition, as its documentation describes it. There `config.stream` works, the end of one listen does not
   * end the others, a file is played once, the first frame is never damaged, and unknown properties are accepted.
   */
  platform?: '0.9' | '11' | undefined
  /**
   * Members of a `room` or `conference` besides the caller (1). With `platform: '11'` a listen in it opens a socket for
   * each member, all on one url.
   */
  members?: number | undefined
  /**
   * With `platform: '11'`: a listen that somebody starts over jambonz' REST api when the call is answered. Its first
   * frame is the unchanged `metadata`, so that frame has a callSid only if `metadata` has one.
   */
  outsideListen?:
    | {
        url: string
        metadata?: Record<string, unknown> | undefined
        wsAuth?: { username: string; password: string } | undefined
      }
    | undefined
  /**
   * true: a listen also receives the audio that the application streams back over it (right channel, or mixed).
   * jambonz 0.9 never does so. Whether jambonz 11 does so is unknown, so an application should work with true
   * and false.
   */
  includeStream?: boolean | undefined
  /** Hz of the call's audio: 8000 (default; PCMU, PCMA), or 16000 for a wideband call. */
  callRate?: number | undefined
  /** 1: real time; 20: twenty times faster; Infinity (default): as fast as the application reads. */
  speed?: number | undefined
  /** Faults of jambonz and its network. */
  faults?: Faults | undefined
  /** HTTP timeout of jambonz, real ms whatever the speed. Default 10 000. */
  httpTimeoutMs?: number | undefined
  /** Real ms that an application websocket has to acknowledge a message. Default 5000. */
  ackTimeoutMs?: number | undefined
  /** Real ms after which the call is torn down. Default 60 000; at speed 1: 600 000. */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
  /** Bytes of audio that are kept for each socket, and of the heard audio; `false`: none. Default 32 MiB. */
  keepAudio?: false | number | undefined
  /** Called with each event, before any other listener. */
  onEvent?: ((event: SimulatorEvent) => void) | undefined
}

export interface RequestRecord {
  /** `reconnect`: session:reconnect. `event`: verb:status and jambonz:error. Both are sent only over a websocket. */
  kind: 'webhook' | 'hook' | 'status' | 'reconnect' | 'event'
  transport: 'http' | 'websocket'
  /** The HTTP method; over a websocket, the type of the message. */
  method: string
  /** The url of the request; over a websocket, always the url of the application. */
  url: string
  /** Over a websocket: the type of the message. */
  type?: string
  msgid?: string
  /** Over a websocket: the hook, as the verb gives it. */
  hook?: string
  /** Over a websocket: true if the application has acknowledged the message. */
  acked?: boolean
  headers: Record<string, string>
  /** The JSON that was posted; undefined for GET. */
  payload: unknown
  /** The HTTP status. Undefined if no answer came (see `error`), or for a message over a websocket (see `acked`). */
  status: number | undefined
  reply: unknown
  /**
   * The body of the answer as text, at most 2,000 characters, if the request was refused or the body is not a JSON
   * array.
   */
  body?: string
  error?: string
  /** Simulated ms since the call began. */
  atMs: number
  /** Real ms. */
  latencyMs: number
  attempt: number
}

/** One connection of the application's websocket. */
export interface ApplicationSocketRecord {
  url: string
  openedAtMs: number
  closedAtMs: number | undefined
  closeCode: number | undefined
  closedBy: 'jambonz' | 'server' | undefined
}

/** A command of the application over its websocket. */
export interface CommandRecord {
  command: string
  data: unknown
  queue: boolean
  callSid: string | undefined
  atMs: number
  /** The reason why the command did nothing. */
  note?: string
}

export interface VerbRecord {
  verb: string
  data: Record<string, unknown>
  startedAtMs: number
  endedAtMs: number | undefined
  note?: string
}

export interface PlayDone {
  id?: unknown
  playbackSeconds: string
  playbackMilliseconds: string
  playbackLastOffsetPos: string
}

export interface ListenRecord {
  url: string
  /** The callSid in the metadata. For a listen nested in dial it is the callSid of the called leg. */
  callSid: string
  role: 'listen' | 'dial' | 'background' | 'record' | 'room' | 'outside'
  mixType: 'mono' | 'stereo' | 'mixed'
  sampleRate: number
  metadata: Record<string, unknown>
  /** The first text frame, unchanged. */
  metadataText: string
  /** `body`: the body of the server's refusal, which jambonz never reads. */
  refused: { status: number | undefined; text: string; body?: string } | undefined
  /** The subprotocol that the server selected; undefined: none. */
  protocol: string | undefined
  startedAtMs: number
  openedAtMs: number | undefined
  closedAtMs: number | undefined
  closeCode: number | undefined
  closeReason: string | undefined
  closedBy: 'jambonz' | 'server' | undefined
  /**
   * True if the server answered the upgrade after the end of the call. Such a socket gets no metadata, audio or close.
   */
  orphan: boolean
  /** True if jambonz' audio buffer of 2 s was full at least once. */
  overrun: boolean
  /** Real ms from the start of the listen to its first audio frame. */
  firstAudioMs: number | undefined
  /**
   * `startedAtMs`: time of the first sample, on the clock of `heard`. Samples after a pause or an overrun have later
   * times than their position says.
   */
  sent: {
    frames: number
    bytes: number
    sha256: string
    pcm: Buffer | undefined
    texts: string[]
    startedAtMs: number | undefined
  }
  /** ms of audio that was lost because the upgrade was slow, or because the server did not read. */
  lostMs: number
  /**
   * The audio that the party heard until the listen ended, without the audio of this listen. A stereo listen gets this
   * audio in its right channel; it is recorded here for every mixType.
   */
  right: Track | undefined
  /** The streamed audio and the files of this listen that the party heard until the listen ended. */
  output: Track | undefined
  /** The text messages of the server. A message that is JSON is parsed. */
  received: unknown[]
  /** Bytes of the server's binary frames, and the number of these bytes that the media server dropped unplayed. */
  receivedAudio: { bytes: number; swallowed: number }
  marks: Array<{ name: string; event: 'playout' | 'cleared'; atMs: number }>
  playDone: PlayDone[]
}

/** Mono L16 at the call's rate. The time of sample i is `startedAtMs + i / sampleRate * 1000` on the call's clock. */
export interface Track {
  pcm: Buffer
  sampleRate: number
  startedAtMs: number
}

/** The audio the caller heard: files, verbs, streamed audio, the called party. */
export interface Heard extends Track {
  /** Returns the audio as a WAV file. */
  wav: () => Buffer
  marks: Array<{ name: string; event: 'playout' | 'cleared'; atMs: number }>
}

/** The record of a call, as plain data. */
export interface CallStory {
  callSid: string
  requests: RequestRecord[]
  /** Connections of the application's websocket, in their order. */
  applicationSockets: ApplicationSocketRecord[]
  commands: CommandRecord[]
  verbs: VerbRecord[]
  listens: ListenRecord[]
  legs: Array<{ callSid: string; parentCallSid: string; status: string; durationMs: number }>
  heard: Heard
  hangupBy: 'caller' | 'jambonz' | 'nobody'
  /** Simulated ms from the first webhook to the end. */
  durationMs: number
  /** The errors that an operator would find in the log of jambonz. */
  errors: string[]
  /**
   * The mistakes of the application that jambonz refuses or handles badly. Each says what to change.
   */
  problems: Problem[]
}

export interface EventPayloads {
  'webhook': RequestRecord
  'hook': RequestRecord
  'status': RequestRecord
  'reconnect': RequestRecord
  'event': RequestRecord
  'command': CommandRecord
  'application:open': ApplicationSocketRecord
  'application:close': ApplicationSocketRecord
  'verb': VerbRecord
  'listen:open': ListenRecord
  'listen:refused': ListenRecord
  'listen:close': ListenRecord
  'dtmf': { digit: string }
  'message': { listen: ListenRecord; message: unknown }
  'mark': { listen: ListenRecord; name: string; event: 'playout' | 'cleared' }
  'playDone': { listen: ListenRecord; data: PlayDone }
  'error': { text: string }
  'problem': Problem
  'hangup': { by: 'caller' | 'jambonz' }
  'end': CallStory
}

export type EventName = keyof EventPayloads

/** An event with its name and its simulated time. */
export type SimulatorEvent = {
  [Name in EventName]: { name: Name; atMs: number; payload: EventPayloads[Name] }
}[EventName]
