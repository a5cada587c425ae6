export { AudioStream, type AudioStreamOptions } from './AudioStream.js'
export { watchEndConditions } from './watchEndConditions.js'
export type { AudioSink, AudioStreamEvents, DtmfEvent, MarkEvent, MarkOutcome, PlayDone, SinkOptions, StreamEnd, StreamLimits } from './types.js'
