import { Type, type Static } from '@sinclair/typebox'

const Ms = Type.Number({ minimum: 0, description: 'ms' })
const Id = Type.String({ description: 'of this file, the same wherever it goes' })
const IsoTime = Type.String({ description: 'ISO 8601, UTC' })
const SegmentNumber = Type.Integer({
  minimum: 1,
  description: "which of the listen's sockets it was recorded from, where the listen was handed over"
})

export const PauseSchema = Type.Object({
  atMs: Ms,
  durationMs: Ms,
  mode: Type.Union([Type.Literal('silence'), Type.Literal('skip')]),
  startedAt: IsoTime,
  endedAt: Type.Optional(IsoTime)
})

export const GapSchema = Type.Object({
  atMs: Type.Number({
    minimum: 0,
    description: 'ms; up to 0.3 s wrong for a gap shorter than 0.8 s, if the recorder is alone on the stream'
  }),
  durationMs: Ms,
  filled: Type.Boolean({ description: 'silence stands for it in the file' })
})

const LevelSchema = Type.Object({
  peakDb: Type.Number({ description: 'dBFS' }),
  rmsDb: Type.Number({ description: 'dBFS' })
})

const StateSchema = Type.Union([Type.Literal('saved'), Type.Literal('spooled'), Type.Literal('partial')], {
  description:
    '`spooled`: complete, on this disk; it is still to be compressed or to be sent to the sink, which is reported when it is done. `partial`: the recording failed, this much of it was saved'
})

/** The recording of one socket of a listen that was handed over. */
export const SegmentSchema = Type.Object({
  id: Id,
  segment: Type.Optional(SegmentNumber),
  state: StateSchema,
  location: Type.String(),
  bytes: Type.Integer({ minimum: 0 }),
  durationMs: Ms,
  startedAt: IsoTime,
  endedAt: IsoTime,
  gapBeforeMs: Type.Number({
    minimum: 0,
    description:
      'ms of the call between the end of the segment before and this one, by the clocks of the hosts that recorded them'
  }),
  sha256: Type.Optional(Type.String())
})
export type Segment = Static<typeof SegmentSchema>

/** A finished recording: `Listen.recording`. A sink may add keys of its own. */
export const FinishedRecordingSchema = Type.Object(
  {
    location: Type.String({ description: 'path or url of the audio' }),
    format: Type.String({ description: '`wav`, or what the sink writes' }),
    bytes: Type.Integer({ minimum: 0, description: 'size of the whole file' }),
    durationMs: Ms,
    id: Id,
    segment: Type.Optional(SegmentNumber),
    state: StateSchema,
    sampleRate: Type.Integer({ description: 'Hz' }),
    channels: Type.Integer({ minimum: 1, maximum: 2 }),
    startedAt: IsoTime,
    endedAt: IsoTime,
    levels: Type.Optional(
      Type.Array(LevelSchema, { description: "one per channel; of a stereo recording the caller's first" })
    ),
    gaps: Type.Array(GapSchema),
    pauses: Type.Array(PauseSchema),
    sha256: Type.Optional(Type.String({ description: 'of the whole file, hexadecimal' })),
    recovered: Type.Optional(Type.Boolean({ description: 'its process died; what it left was repaired' })),
    encrypted: Type.Optional(Type.Boolean()),
    segments: Type.Optional(
      Type.Array(SegmentSchema, {
        description:
          "when a listen was handed over to another socket: its files in order. `bytes` and `durationMs` are then those of all, `location` is the first's, `state` that of one that is not saved"
      })
    )
  },
  { additionalProperties: true }
)
export type FinishedRecording = Static<typeof FinishedRecordingSchema>
