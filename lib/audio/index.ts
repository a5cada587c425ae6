export { AudioStream, type AudioStreamOptions } from './AudioStream.js'
export type { ChannelName } from './ChannelReader.js'
export type { PlayOptions } from './Player.js'
export { watchEndConditions, type EndConditionOptions } from './watchEndConditions.js'
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
} from './types.js'
