import type { Speech } from './audio/load.js'
import type { Faults } from './faults.js'
import type { Problem } from './problems.js'

/** Something with a node:http server: a Fastify or an http.Server instance. */
export interface AppLike {
  server?: unknown
  ready?: () => unknown
}

/**
 * A caller's key presses: `'#'` (once the speech is over), `'1@2s'`, `'#@3500ms'`, or a list. Times count from when the
 * application first listens. jambonz learns of a key when it is released; while it is down nothing is heard of the caller.
 */
export type Press = string | TimedKeys | Array<string | TimedKeys>

/** `holdMs`: how long each key is down (100). */
export interface TimedKeys {
  digits: string
  atMs?: number
  holdMs?: number
}

/** A line that the caller says, as text, for gather (speech) and transcribe. Times count as in `Press`. */
export interface Transcript {
  text: string
  atMs?: number
  confidence?: number
}

/** How a leg dialled out behaves. Defaults: answers after 1 s, speaks a second speech-like signal, hangs up after it. */
export interface BLeg {
  /** `false`: rings until the dial's timeout; a number: fails with this SIP status (486 is busy). */
  answer?: boolean | number
  answerAfterMs?: number
  speech?: Speech | null
  hangUpAfterMs?: number
}

export interface SimulateCallOptions {
  /** Absolute url of the application's call webhook; `ws://` or `wss://` of its application websocket. */
  url?: string
  /** Instead of a url: an application of this process; nothing goes over the network. */
  app?: unknown
  /** Path of the call webhook, with `app`. */
  hook?: string
  /** With `app`: how jambonz asks it. Default `http`. */
  transport?: 'http' | 'websocket'
  /** With `app`: the address the application believes to have; socket and hook urls that begin with it lead to `app`. Default `http://127.0.0.1`. */
  publicUrl?: string
  /** Take self-signed certificates (https webhooks, wss sockets): jambonz does not, unless it is configured to. */
  allowSelfSigned?: boolean
  webhookMethod?: 'POST' | 'GET'
  /** Path or absolute url of the call status hook; none by default. */
  statusHook?: string
  from?: string
  to?: string
  callerName?: string
  callSid?: string
  accountSid?: string
  applicationSid?: string
  direction?: 'inbound' | 'outbound'
  /** Signs every request; jambonz always signs, so without it a random secret is used. */
  webhookSecret?: string
  /** HTTP Basic of the webhooks; sockets with a relative url get them in place of the verb's wsAuth. */
  webhookAuth?: { username: string; password: string }
  /** Application environment variables, sent in the first webhook as `env_vars`. */
  env?: Record<string, unknown>
  /** The caller's audio once the application listens. Default: 3 s of a speech-like signal; `null`: none. */
  speech?: Speech | null
  /** When the caller begins to speak: with the first listen (default), or at the answer. */
  speakAt?: 'listen' | 'answer'
  press?: Press
  transcripts?: Array<string | Transcript>
  /** The caller hangs up this long after the answer (simulated ms). */
  hangUpAfterMs?: number
  /** The caller hangs up when, with nothing left to say or press, he has heard nothing from a listen for this long. Default 2000; Infinity with `hangUpAfterMs`. */
  patienceMs?: number
  bLeg?: BLeg
  /** The account records all calls: a stereo socket to this (absolute) url for as long as the call is answered. */
  recordAllCalls?: { url: string; wsAuth?: { username: string; password: string } }
  /**
   * Take an `actionHook` in `config.listen`, whose reply then replaces the application. The published specifications
   * (@jambonz/verb-specifications 0.1.13) know none there and refuse the application, so by default the simulator does, too.
   */
  configListenHook?: boolean
  /**
   * Which jambonz this is. `'0.9'` (default): feature server 0.9.8 with FreeSWITCH, as it was measured. `'11'`: the
   * commercial edition as its documentation tells: `config.stream` works, one listen's end leaves the others alone, a file
   * is played once, the first frame is never broken, unknown properties are let pass.
   */
  platform?: '0.9' | '11'
  /**
   * Put what a listen streams into that listen's own audio (right channel, mixed). jambonz 0.9 never does; whether 11 does
   * is unknown, so an application should bear both.
   */
  includeStream?: boolean
  /** Hz of the call's audio: 8000 (default, PCMU/PCMA), 16000 for a wideband call. */
  callRate?: number
  /** 1 = real time, 20 = twenty times faster, Infinity (default) = as fast as the peer takes it. */
  speed?: number
  /** How jambonz and its network misbehave. */
  faults?: Faults
  /** http time-out of jambonz (real ms, whatever the speed). Default 10 000. */
  httpTimeoutMs?: number
  /** Real ms an application websocket has to acknowledge a message. Default 5000. */
  ackTimeoutMs?: number
  /** Real ms after which the whole call is torn down. Default 60 000 (at speed 1: 600 000). */
  timeoutMs?: number
  signal?: AbortSignal
  /** Bytes of audio kept per socket and of what was heard; `false`: none. Default 32 MiB. */
  keepAudio?: false | number
  /** Each event as it happens, before any other listener. */
  onEvent?: (event: SimulatorEvent) => void
}

export interface RequestRecord {
  /** `reconnect`: session:reconnect; `event`: verb:status and jambonz:error. Both only over a websocket. */
  kind: 'webhook' | 'hook' | 'status' | 'reconnect' | 'event'
  transport: 'http' | 'websocket'
  /** The HTTP method; over a websocket the type of the message. */
  method: string
  /** Over a websocket that of the application, whatever the hook. */
  url: string
  /** Over a websocket: of the message. */
  type?: string
  msgid?: string
  /** Over a websocket: the hook as the verb gave it. */
  hook?: string
  /** Over a websocket: the application has acknowledged it. */
  acked?: boolean
  headers: Record<string, string>
  /** The JSON as posted; undefined for GET. */
  payload: unknown
  /** undefined: no answer came, see `error`; or it went over a websocket, see `acked`. */
  status: number | undefined
  reply: unknown
  /** The body as text, when it was refused or is no JSON array (its first 2,000 characters). */
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
  /** Why it did nothing. */
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
  /** The call sid in the metadata: of the B leg when nested in dial. */
  callSid: string
  role: 'listen' | 'dial' | 'background' | 'record'
  mixType: 'mono' | 'stereo' | 'mixed'
  sampleRate: number
  metadata: Record<string, unknown>
  /** Exactly the bytes of the first text frame. */
  metadataText: string
  /** `body`: what the server said with its refusal; jambonz never reads it. */
  refused: { status: number | undefined; text: string; body?: string } | undefined
  /** The subprotocol the server selected; undefined: none. */
  protocol: string | undefined
  startedAtMs: number
  openedAtMs: number | undefined
  closedAtMs: number | undefined
  closeCode: number | undefined
  closeReason: string | undefined
  closedBy: 'jambonz' | 'server' | undefined
  /** The server answered the upgrade after the call was over: a socket without metadata, audio or close. */
  orphan: boolean
  /** The 2 s buffer overran at least once. */
  overrun: boolean
  /** Real ms from the start of the listen to its first audio frame. */
  firstAudioMs: number | undefined
  /** `startedAtMs`: when the first sample was said and heard, in the clock of `heard`; a pause or an overrun shifts what follows. */
  sent: {
    frames: number
    bytes: number
    sha256: string
    pcm: Buffer | undefined
    texts: string[]
    startedAtMs: number | undefined
  }
  /** Audio that was lost before it was sent, because the upgrade was slow or the server did not read. */
  lostMs: number
  /**
   * The audio the party heard, except that of this listen, until it ended: the listen's right channel, whatever its
   * mixType.
   */
  right: Track | undefined
  /** The audio and the files of this listen that the party heard, until it ended. */
  output: Track | undefined
  /** Text messages of the server, parsed when they were JSON. */
  received: unknown[]
  /** Bytes of binary frames from the server, and how many of them the media server swallowed unplayed. */
  receivedAudio: { bytes: number; swallowed: number }
  marks: Array<{ name: string; event: 'playout' | 'cleared'; atMs: number }>
  playDone: PlayDone[]
}

/** Mono L16 at the call's rate. Sample i belongs to the time `startedAtMs + i / sampleRate * 1000` of the call's clock. */
export interface Track {
  pcm: Buffer
  sampleRate: number
  startedAtMs: number
}

/** The audio the caller heard: files, verbs, streamed audio, the called party. */
export interface Heard extends Track {
  /** The whole as a WAV file. */
  wav: () => Buffer
  marks: Array<{ name: string; event: 'playout' | 'cleared'; atMs: number }>
}

/** All that happened, as plain data. */
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
  /** The errors that an operator of jambonz would find in its log. */
  errors: string[]
  /** The actions of the application that jambonz handles badly, or refuses, each with the change that mends it. */
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
