import { Type, type Static } from '@sinclair/typebox'
import { FinishedRecordingSchema, type FinishedRecording } from './recording.js'

const IsoTime = Type.String({ description: 'ISO 8601, UTC' })
const Milliseconds = Type.Number({ minimum: 0, description: 'ms' })

/**
 * The reason why a listen ended. `closed`: jambonz ended it. `disconnected`: the application ended it. `otherEnded`: we
 * ended another listen of the call, and jambonz 0.9 then ends all of them.
 */
export const EndReasonSchema = Type.Union([
  Type.Literal('closed'),
  Type.Literal('disconnected'),
  Type.Literal('timeout'),
  Type.Literal('maxLength'),
  Type.Literal('finishOnKey'),
  Type.Literal('otherEnded'),
  Type.Literal('drained'),
  Type.Literal('error'),
  Type.Literal('lost'),
  Type.Literal('notConnected')
])
export type EndReason = Static<typeof EndReasonSchema>

/** The audio that arrived on the socket, counted from its first audio frame. */
export const AudioCountsSchema = Type.Object({
  frames: Type.Integer({ minimum: 0, description: 'websocket messages with audio' }),
  bytes: Type.Integer({ minimum: 0, description: 'bytes of L16 audio' }),
  durationMs: Milliseconds,
  gapMs: Type.Number({
    minimum: 0,
    description: 'ms of the call for which no audio came, all gaps together'
  }),
  maxGapMs: Type.Number({ minimum: 0, description: 'ms, the longest gap' })
})
export type AudioCounts = Static<typeof AudioCountsSchema>

export const MixTypeSchema = Type.Union([Type.Literal('mono'), Type.Literal('stereo'), Type.Literal('mixed')])
export type MixType = Static<typeof MixTypeSchema>

export {
  FinishedRecordingSchema as RecordingSchema,
  type FinishedRecording as Recording
} from './recording.js'

/** The audio of one socket of a listen that was handed over from one instance to another. */
export const ListenSegmentSchema = Type.Object({
  instance: Type.Optional(Type.String({ description: 'the instance that held the socket' })),
  startedAt: Type.Optional(IsoTime),
  endedAt: IsoTime,
  audio: AudioCountsSchema,
  recorded: Type.Optional(
    Type.Boolean({ description: 'it has a recording, which may not be final yet: see `saved`' })
  )
})

/** One thing that the application said, as the caller heard it: an utterance, or a run of plain `write()`s. */
export const OutputEntrySchema = Type.Object({
  id: Type.String({ description: 'its own id; `speech-1`, … where it is a run of plain `write()`s' }),
  text: Type.Optional(
    Type.String({ description: 'what was to be said, where it is known and was not said in private' })
  ),
  atMs: Type.Number({
    minimum: 0,
    description: 'ms into the audio of the listen, where the caller began to hear it'
  }),
  heardMs: Type.Number({ minimum: 0, description: 'ms of it that the caller heard' }),
  outcome: Type.Union([Type.Literal('playout'), Type.Literal('cleared')], {
    description: '`cleared`: it was cut off'
  })
})
export type OutputEntry = Static<typeof OutputEntrySchema>

/** One listen of a call, from the verb that asked for it to the hook that ended it. Plain JSON. */
export const ListenSchema = Type.Object({
  id: Type.String(),
  callSid: Type.String({ description: 'the call whose webhook asked for the listen' }),
  legCallSid: Type.Optional(
    Type.String({
      description: 'the leg the audio comes from, where it is another (nested in dial: the B leg)'
    })
  ),
  verbId: Type.Optional(Type.String({ description: "the verb's own id, where the application gave it one" })),
  path: Type.String({ description: 'path of the audio route' }),
  nested: Type.Optional(
    Type.Union([
      Type.Literal('dial'),
      Type.Literal('config'),
      Type.Literal('conference'),
      Type.Literal('room')
    ])
  ),
  leg: Type.Optional(
    Type.Literal('callee', {
      description: 'nested in dial with `channel: 2`: the leg of the called party, who is left in stereo'
    })
  ),
  state: Type.Union([Type.Literal('expected'), Type.Literal('streaming'), Type.Literal('ended')]),
  connected: Type.Boolean({ description: 'a socket came for it' }),
  mixType: MixTypeSchema,
  sampleRate: Type.Integer({ description: 'Hz' }),
  channels: Type.Integer({ minimum: 1, maximum: 2 }),
  metadata: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), {
      description: "the verb's own metadata, as the application wrote it"
    })
  ),
  finishOnKey: Type.Optional(Type.String()),
  timeout: Type.Optional(Type.Number({ description: 'seconds of silence' })),
  maxLength: Type.Optional(Type.Number({ description: 'seconds' })),
  passDtmf: Type.Optional(Type.Boolean({ description: 'jambonz sends the keys that the caller presses' })),
  bidirectional: Type.Optional(
    Type.Object({
      mode: Type.Union([Type.Literal('off'), Type.Literal('file'), Type.Literal('streaming')]),
      sampleRate: Type.Integer({ description: 'Hz of the audio sent to jambonz' })
    })
  ),
  createdAt: IsoTime,
  startedAt: Type.Optional(IsoTime),
  endedAt: Type.Optional(IsoTime),
  endReason: Type.Optional(EndReasonSchema),
  audio: AudioCountsSchema,
  paused: Type.Optional(
    Type.Union([Type.Literal(false), Type.Literal('silence'), Type.Literal('skip')], {
      description: 'what is said is private just now: not recorded, not listened in to'
    })
  ),
  recording: Type.Optional(FinishedRecordingSchema),
  recordingError: Type.Optional(Type.String({ description: 'why there is no (whole) recording' })),
  digits: Type.Optional(Type.String()),
  output: Type.Optional(
    Type.Array(OutputEntrySchema, { description: 'what the application said that the caller heard' })
  ),
  reportedDuration: Type.Optional(Type.Number({ description: 'whole seconds, as the actionHook says' })),
  instance: Type.Optional(Type.String({ description: 'the instance that holds, or held, the socket' })),
  segments: Type.Optional(
    Type.Array(ListenSegmentSchema, {
      description: 'the sockets it had, in order, where it was handed over: `audio` counts them all'
    })
  )
})

/** One call and its listens. Plain JSON, which the store keeps. */
export const CallSchema = Type.Object({
  callSid: Type.String(),
  parentCallSid: Type.Optional(Type.String()),
  accountSid: Type.Optional(Type.String()),
  applicationSid: Type.Optional(Type.String()),
  direction: Type.Optional(Type.String()),
  from: Type.Optional(Type.String()),
  to: Type.Optional(Type.String()),
  callStatus: Type.Optional(Type.String()),
  envVars: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), {
      description: 'application environment variables, as the first webhook brought them'
    })
  ),
  customerData: Type.Optional(Type.Unknown()),
  data: Type.Record(Type.String(), Type.Unknown(), {
    description: "the application's own, written with `calls.update()`"
  }),
  listens: Type.Array(ListenSchema),
  createdAt: IsoTime,
  updatedAt: IsoTime,
  endedAt: Type.Optional(IsoTime)
})

export const PauseModeSchema = Type.Union([Type.Literal('silence'), Type.Literal('skip')])
/** `silence`: the file has silence for the paused time. `skip`: the file leaves out the paused time. */
export type PauseMode = Static<typeof PauseModeSchema>

// The public types of calls and listens, with texts for editors. test/model/schema.types.ts checks them against the
// schemas.

/** The audio of one socket of a listen that was handed over from one instance to another. */
export type ListenSegment = {
  /** the instance that held the socket */
  readonly instance?: string
  /** ISO 8601, UTC */
  readonly startedAt?: string
  /** ISO 8601, UTC */
  readonly endedAt: string
  /** the audio of this socket */
  readonly audio: AudioCounts
  /** true if this socket has a recording, which may not be final yet */
  readonly recorded?: boolean
}

export type ListenState = 'expected' | 'streaming' | 'ended'

/** One listen of a call, from the verb that asked for it to the hook that ended it. Plain JSON, frozen. */
export type Listen = {
  readonly id: string
  /** the call whose webhook asked for the listen */
  readonly callSid: string
  /**
   * callSid of the leg with the audio, if this is not the caller's leg: the called leg of a listen nested in
   * dial
   */
  readonly legCallSid?: string
  /** the verb's own id, if the application gave it one */
  readonly verbId?: string
  /** path of the audio route */
  readonly path: string
  /** the verb that the listen is nested in */
  readonly nested?: 'dial' | 'config' | 'conference' | 'room'
  /** nested in dial with `channel: 2`: the leg of the called party, who is the left channel in stereo */
  readonly leg?: 'callee'
  /** `expected` until its socket has opened, `ended` when no more audio comes */
  readonly state: ListenState
  /** true if a socket came for the listen */
  readonly connected: boolean
  readonly mixType: MixType
  /** Hz */
  readonly sampleRate: number
  /** 1, or 2 in stereo */
  readonly channels: number
  /** the metadata in the verb */
  readonly metadata?: Readonly<Record<string, unknown>>
  /** keys that end the listen */
  readonly finishOnKey?: string
  /** seconds of silence that end the listen */
  readonly timeout?: number
  /** seconds */
  readonly maxLength?: number
  /** true: jambonz sends the keys that the caller presses */
  readonly passDtmf?: boolean
  /** the audio that the application may send back */
  readonly bidirectional?: {
    readonly mode: 'off' | 'file' | 'streaming'
    /** Hz of the audio sent to jambonz */
    readonly sampleRate: number
  }
  /** ISO 8601, UTC: when the verb was answered */
  readonly createdAt: string
  /** ISO 8601, UTC: when the first socket of the listen began to stream */
  readonly startedAt?: string
  /** ISO 8601, UTC */
  readonly endedAt?: string
  /** why the listen ended; undefined before its end */
  readonly endReason?: EndReason
  /** the audio of all sockets of the listen */
  readonly audio: AudioCounts
  /**
   * the mode of the present pause, in which the audio is not recorded, and monitors can't hear it; false
   * without a pause
   */
  readonly paused?: false | PauseMode
  /** the finished recording; undefined if the listen has no recording, or no finished one yet */
  readonly recording?: FinishedRecording
  /** why the recording is missing or incomplete */
  readonly recordingError?: string
  /** the key that ended the listen */
  readonly digits?: string
  /** what the application said that the caller heard: utterances, and runs of plain `write()`s */
  readonly output?: readonly OutputEntry[]
  /** whole seconds, from the actionHook */
  readonly reportedDuration?: number
  /** the instance that holds or held the socket */
  readonly instance?: string
  /** the sockets of the listen, in order, if it was handed over; `audio` counts all of them */
  readonly segments?: readonly ListenSegment[]
}

/** One call and its listens. Plain JSON, frozen; `calls.update()` changes its `data`. */
export type Call = {
  readonly callSid: string
  readonly parentCallSid?: string
  readonly accountSid?: string
  readonly applicationSid?: string
  /** `inbound` or `outbound` */
  readonly direction?: string
  readonly from?: string
  readonly to?: string
  /** the latest status: trying, ringing, early-media, in-progress, completed, failed, busy, no-answer or queued */
  readonly callStatus?: string
  /** application environment variables, from the first webhook */
  readonly envVars?: Readonly<Record<string, unknown>>
  readonly customerData?: unknown
  /** data of the application, written with `calls.update()` */
  readonly data: Readonly<Record<string, unknown>>
  /** in the order of their verbs */
  readonly listens: readonly Listen[]
  /** ISO 8601, UTC */
  readonly createdAt: string
  /** ISO 8601, UTC */
  readonly updatedAt: string
  /** ISO 8601, UTC: time of its last status event */
  readonly endedAt?: string
}

/** A listen in the store, with fields that only the plugin uses. */
export type StoredListen = Listen & {
  /** the span of the answer with its verb, as a `b3` header, if requests are traced */
  readonly trace?: string
  /** the number of segments whose recordings are final */
  readonly saved?: number
  /** the number of answers that asked jambonz for the next socket of the listen */
  readonly offers?: number
  /**
   * false: jambonz was asked for the next socket of the listen; true: an instance that hands over has refused a socket;
   * undefined: a socket was handed over since, or the listen has had none
   */
  readonly refused?: boolean
  /** ISO 8601, UTC: time of its latest actionHook */
  readonly hookedAt?: string
  /**
   * the instance that ends the listen if no socket comes; if this instance dies, the store calls `lost` for
   * the listen
   */
  readonly watcher?: string
  /** true if the actionHook of its verb is not one of this plugin */
  readonly foreignHook?: boolean
  /** JSON of the `config` that started the listen in the background, without credentials, for its next socket */
  readonly background?: string
  /** true if its actionHook had a key, which is written once the listen has ended without a pause */
  readonly keyed?: boolean
}

/** A call in the store, with fields that only the plugin uses. */
export type StoredCall = Omit<Call, 'listens'> & {
  readonly listens: readonly StoredListen[]
  /** the transport of the latest request for verbs */
  readonly transport?: 'http' | 'websocket'
  /** time at which the call's first answer was sent over an application websocket, ISO 8601, UTC */
  readonly acknowledgedAt?: string
  /** the instance that holds its application websocket */
  readonly holder?: string
  /** the verbs of `calls.redirect()` that jambonz is to fetch over HTTP, encrypted by `seal()` */
  readonly commanded?: string
  /**
   * JSON of the verbs of the latest answer with a listen, without credentials, with which a handed-over
   * listen continues
   */
  readonly application?: string
}
