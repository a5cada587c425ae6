/** Faults of jambonz, its media server or the network in one call. All of them were observed or read in its source. */
export interface Faults {
  /** Delays the upgrade request. Audio is buffered meanwhile; more than 2 s of it is lost. */
  slowUpgradeMs?: number
  /** Sends no metadata frame: audio comes first. */
  noMetadata?: boolean
  /** Sends the metadata frame this much after the first audio. */
  lateMetadataMs?: number
  /** Breaks the metadata frame as FreeSWITCH's tokenizer does with such data. */
  metadata?: 'apostrophe' | 'quote' | 'cut'
  /** Breaks the TCP connection this long after the socket opened, without a close frame. The call goes on. */
  dropAfterMs?: number
  /** Posts the call webhook twice. */
  duplicateWebhook?: boolean
  /** Posts every actionHook twice. */
  duplicateHook?: boolean
  /** Posts the actionHook of a listen before the close of its socket, which follows this much later. */
  hookBeforeCloseMs?: number
  /** Sends no hooks for background listens that end with the call. */
  noHookAfterHangup?: boolean
  /** Blocks the network between these times after the socket opened. Messages then arrive before the buffered audio. */
  stall?: { fromMs: number; forMs: number }
  /** Has the caller hang up before the upgrade is answered. */
  hangUpDuringUpgrade?: boolean
  /**
   * Shuts the socket down gracefully instead of a close: an empty binary frame, then nothing until the server closes.
   */
  gracefulShutdown?: boolean
}
