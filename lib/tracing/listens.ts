import type { StreamEnd } from '../audio/index.js'
import type { AudioCounts, Listen } from '../model/schema.js'
import type { Trace, Tracing } from './Tracing.js'

/** A span for one socket of a listen. `openedAt`: ms since the epoch. */
export function beginListen(
  tracing: Tracing,
  { id, callSid, path, trace }: Listen,
  openedAt: number
): Trace | undefined {
  return tracing.task(`listen ${path}`, {
    b3: trace,
    startedAt: openedAt,
    attributes: { 'http.route': path, 'jambonz.call_sid': callSid, 'jambonz.listen_id': id }
  })
}

export interface SocketEnd extends StreamEnd {
  /** what came on this socket */
  audio: AudioCounts
  /** another instance goes on with the listen */
  handedOver: boolean
}

export function endListen(
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
