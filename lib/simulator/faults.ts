/** How jambonz, its media server or the network between misbehave in one call. All of it was seen or read (wire facts). */
export interface Faults {
  /** The upgrade request leaves this much later: audio gathers, and beyond 2 s is lost. */
  slowUpgradeMs?: number
  /** No metadata frame: audio comes first. */
  noMetadata?: boolean
  /** The metadata frame comes this much after the first audio. */
  lateMetadataMs?: number
  /** Breaks the metadata frame as FreeSWITCH's tokenizer does with such data. */
  metadata?: 'apostrophe' | 'quote' | 'cut'
  /** TCP is gone this long after the socket opened, without a close frame; the call goes on. */
  dropAfterMs?: number
  /** The call webhook is posted twice. */
  duplicateWebhook?: boolean
  /** Every actionHook is posted twice. */
  duplicateHook?: boolean
  /** The actionHook of a listen is posted before its socket is closed; the close follows this much later. */
  hookBeforeCloseMs?: number
  /** The hooks of background listens that end with the call are never sent. */
  noHookAfterHangup?: boolean
  /** The network takes nothing between these times after the socket opened; then messages come before the audio that has gathered. */
  stall?: { fromMs: number; forMs: number }
  /** The caller hangs up while the upgrade is still unanswered. */
  hangUpDuringUpgrade?: boolean
  /** Instead of a close, jambonz shuts down gracefully: an empty binary frame, then silence until the server closes. */
  gracefulShutdown?: boolean
}
