import type { StreamEnd } from '../audio/socket/types.js'
import type { AudioCounts, Listen, StoredListen } from '../model/schema.js'
import type { Trace, Tracing } from '../model/tracing.js'

/** Begins the span of one socket of a listen. `openedAt`: ms since the epoch. */
export function beginListenSpan(
  tracing: Tracing,
  { id, callSid, path, trace }: StoredListen,
  openedAt: number
): Trace | undefined {
  return tracing.task(`listen ${path}`, {
    b3: trace,
    startedAt: openedAt,
    attributes: { 'http.route': path, 'jambonz.call_sid': callSid, 'jambonz.listen_id': id }
  })
}

export interface SocketEnd extends StreamEnd {
  /** the audio of this socket */
  audio: AudioCounts
  /** another instance goes on with the listen */
  handedOver: boolean
}

/** Ends the span of a socket, with the outcome of its listen. */
export function endListenSpan(
  trace: Trace,
  listen: Listen,
  { audio, reason, error, handedOver }: SocketEnd
): void {
  const { mixType, sampleRate, recording, recordingError } = listen
  trace.set({
    'jambonz.end_reason': reason,
    'jambonz.mix_type': mixType,
    'jambonz.sample_rate': sampleRate,
    'jambonz.audio.frames': audio.frames,
    'jambonz.audio.bytes': audio.bytes,
    'jambonz.audio.duration_ms': audio.durationMs,
    'jambonz.audio.gap_ms': audio.gapMs,
    'jambonz.recording.location': recording?.location,
    'jambonz.handed_over': handedOver
  })
  if (error) trace.fail(error)
  else if (reason === 'error') trace.fail('the stream failed')
  else if (reason === 'lost') trace.fail('the connection was lost')
  else if (recordingError !== undefined) trace.fail(recordingError)
  trace.end()
}
