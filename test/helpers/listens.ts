import type { Listen } from '../../lib/model/schema.js'
import type { RecordedStream } from '../../lib/recording/types.js'

export const LISTEN: Listen = {
  id: '0d4a3f70b6a34b4fa2b7c9b1a3e5d7f9-00112233445566aa',
  callSid: '0d4a3f70-b6a3-4b4f-a2b7-c9b1a3e5d7f9',
  path: '/audio',
  state: 'streaming',
  connected: true,
  mixType: 'mono',
  sampleRate: 8000,
  channels: 1,
  createdAt: '2026-02-03T23:59:58.000Z',
  startedAt: '2026-02-04T00:00:01.000Z',
  audio: { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 }
}

/** Returns a stream with the fields that a recorder reads. */
export function streamOf(listen: Partial<Listen> = {}): RecordedStream {
  const whole = { ...LISTEN, ...listen }
  const { callSid, sampleRate, channels, mixType, createdAt } = whole
  const call = { callSid, from: '+15083084809', data: {}, listens: [whole], createdAt, updatedAt: createdAt }
  return { callSid, call, listen: whole, sampleRate, channels, mixType }
}
