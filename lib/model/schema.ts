import { Type, type Static } from '@sinclair/typebox'

const IsoTime = Type.String({ description: 'ISO 8601, UTC' })
const Milliseconds = Type.Number({ minimum: 0, description: 'ms' })

/** Why a listen ended. `closed`: jambonz ended it; `disconnected`: the application asked. */
export const EndReasonSchema = Type.Union([
  Type.Literal('closed'),
  Type.Literal('disconnected'),
  Type.Literal('timeout'),
  Type.Literal('maxLength'),
  Type.Literal('finishOnKey'),
  Type.Literal('drained'),
  Type.Literal('error'),
  Type.Literal('lost'),
  Type.Literal('notConnected')
])
export type EndReason = Static<typeof EndReasonSchema>

/** What arrived on the socket, counted from its first audio frame. */
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

/** A finished recording. A sink may add keys of its own. */
export const RecordingSchema = Type.Object(
  {
    location: Type.String({ description: 'path or url of the audio' }),
    format: Type.String({ description: '`wav`, or what the sink writes' }),
    bytes: Type.Integer({ minimum: 0, description: 'size of the whole file' }),
    durationMs: Milliseconds
  },
  { additionalProperties: true }
)
export type Recording = Static<typeof RecordingSchema>

/** What one socket of a listen brought, where it was handed over from one instance to another. */
export const ListenSegmentSchema = Type.Object({
  instance: Type.Optional(Type.String({ description: 'the instance that held the socket' })),
  startedAt: Type.Optional(IsoTime),
  endedAt: IsoTime,
  audio: AudioCountsSchema,
  recorded: Type.Optional(
    Type.Boolean({ description: 'it has a recording, which may not be final yet: see `saved`' })
  )
})
export type ListenSegment = Static<typeof ListenSegmentSchema>

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
  nested: Type.Optional(Type.Union([Type.Literal('dial'), Type.Literal('config')])),
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
  recording: Type.Optional(RecordingSchema),
  recordingError: Type.Optional(Type.String({ description: 'why there is no (whole) recording' })),
  digits: Type.Optional(Type.String()),
  reportedDuration: Type.Optional(Type.Number({ description: 'whole seconds, as the actionHook says' })),
  instance: Type.Optional(Type.String({ description: 'the instance that holds, or held, the socket' })),
  segments: Type.Optional(
    Type.Array(ListenSegmentSchema, {
      description: 'the sockets it had, in order, where it was handed over: `audio` counts them all'
    })
  ),
  trace: Type.Optional(
    Type.String({ description: 'the span that asked for it, as a `b3` header, where requests are traced' })
  ),
  saved: Type.Optional(
    Type.Integer({ minimum: 0, description: 'the recordings of so many segments are final' })
  ),
  offers: Type.Optional(
    Type.Integer({ minimum: 1, description: 'answers that asked jambonz for its next socket' })
  ),
  refused: Type.Optional(
    Type.Boolean({ description: 'an instance that hands its listens over refused the socket' })
  ),
  hookedAt: Type.Optional(Type.String({ description: 'ISO 8601, UTC: when its actionHook came last' }))
})
export type Listen = Static<typeof ListenSchema>

/** One call and its listens. Plain JSON: it lives in the store. */
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
  application: Type.Optional(
    Type.String({
      description:
        'JSON of the verbs last answered that listen, without credentials: what a listen that is handed over goes on with'
    })
  ),
  createdAt: IsoTime,
  updatedAt: IsoTime,
  endedAt: Type.Optional(IsoTime)
})
export type Call = Static<typeof CallSchema>
