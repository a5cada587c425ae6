export { AudioStream, type AudioStreamOptions } from './stream/AudioStream.js'
export type { ChannelName } from './stream/ChannelReader.js'
export type { PlayOptions } from './playback/Player.js'
export { watchEndConditions, type EndConditionOptions } from './stream/watchEndConditions.js'
export type {
  AudioSink,
  AudioStreamEvents,
  DtmfEvent,
  MarkEvent,
  MarkOutcome,
  PlayDone,
  SinkOptions,
  StreamEnd,
  StreamLimits
} from './socket/types.js'
