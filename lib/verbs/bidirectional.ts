import { ERR_VERB_INVALID } from '../model/errors.js'
import type { Listen } from '../model/schema.js'
import type { ConfigListen } from './listenSchema.js'

type BidirectionalOptions = Pick<ConfigListen, 'bidirectionalAudio' | 'disableBidirectionalAudio'>

/** How audio gets back to the caller, as jambonz works it out (feature-server lib/tasks/listen.js). */
export function bidirectionalOf(
  { bidirectionalAudio, disableBidirectionalAudio }: BidirectionalOptions,
  sampleRate: number
): NonNullable<Listen['bidirectional']> {
  const enabled = bidirectionalAudio?.enabled ?? disableBidirectionalAudio !== true
  const mode = !enabled ? 'off' : bidirectionalAudio?.streaming === true ? 'streaming' : 'file'
  return { mode, sampleRate: bidirectionalAudio?.sampleRate ?? sampleRate }
}

/** Refuses what jambonz takes and then plays nothing of. Throws FST_JAMBONZ_VERB_INVALID. */
export function checkBidirectional(
  { bidirectionalAudio, disableBidirectionalAudio }: BidirectionalOptions,
  at: string
): void {
  if (bidirectionalAudio === undefined) return
  const { enabled, streaming } = bidirectionalAudio
  if (disableBidirectionalAudio === true && (enabled === true || streaming === true)) {
    throw new ERR_VERB_INVALID(
      `${at}.disableBidirectionalAudio contradicts ${at}.bidirectionalAudio: leave it out`
    )
  }
  if (enabled === false && streaming === true) {
    throw new ERR_VERB_INVALID(
      `${at}.bidirectionalAudio has streaming: true with enabled: false, and the caller would hear nothing: set enabled to true, or leave streaming out`
    )
  }
}
