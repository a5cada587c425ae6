export { createRecordings, type Recordings, type RecordingsDeps } from './Recordings.js'
export { decryptRecording, type KeyOf } from './encryption.js'
export {
  RecordingOptionsSchema,
  type FileName,
  type Format,
  type RecordingOptions,
  type Sink,
  type SinkContext,
  type SinkWritable
} from './options.js'
export {
  FinishedRecordingSchema,
  SegmentSchema,
  type FinishedRecording,
  type Segment
} from '../model/recording.js'
export { withKnown } from './directory/sidecar.js'
export type { RecordingError } from './reasons.js'
export type { Gap, Pause, RecordedStream, Recorder } from './types.js'
export type { PauseMode, RecorderState, RecordingControl } from '../audio/index.js'
