import type { EndReason, Listen } from '../../model/schema.js'
import { CLOSED_ABNORMALLY } from './closing.js'

/** ms between a key and the close it causes, and between the two clocks that measure maxLength. */
const TOLERANCE = 500

export interface Circumstances {
  closeCode: number
  listen: Listen | undefined
  /** ms of audio that came, gaps included, or ms since the start, whichever is more */
  lengthMs: number
  /** the last key, and how long before the close it came, ms */
  key?: { digit: string; agoMs: number }
}

/**
 * Why jambonz closed the socket. It does not say: its close frame is 1000 without a reason whether the caller hung
 * up, `maxLength` ran out or a key was pressed (mod_audio_fork; feature-server lib/tasks/listen.js).
 */
export function endReasonOf({ closeCode, listen, lengthMs, key }: Circumstances): EndReason {
  if (closeCode === CLOSED_ABNORMALLY) return 'lost'
  if (key !== undefined && key.digit === listen?.finishOnKey && key.agoMs <= TOLERANCE) return 'finishOnKey'
  if (
    listen?.maxLength !== undefined &&
    listen.maxLength > 0 &&
    lengthMs >= listen.maxLength * 1000 - TOLERANCE
  ) {
    return 'maxLength'
  }
  return 'closed'
}
