export { AudioStream, liveOf } from './stream/AudioStream.js'
export type { ChannelName } from './stream/ChannelReader.js'
export type { PlayOptions } from './playback/FilePlayback.js'
export type { Utterance, UtteranceEnd, UtteranceOptions } from './playback/Utterance.js'
export { LiveStream, type LiveStreamOptions } from './stream/LiveStream.js'
export type { SlowReason } from './socket/frames/SocketReader.js'
export { watchEndConditions, type EndConditionOptions } from './stream/endConditions.js'
export type { RecorderState, RecordingControl } from './stream/LiveStream.js'
export type {
  AudioSink,
  AudioStreamEvents,
  DtmfEvent,
  MarkEvent,
  MarkOutcome,
  PauseMode,
  PlayDone,
  SinkOptions,
  StreamEnd,
  StreamLimits
} from './socket/types.js'
