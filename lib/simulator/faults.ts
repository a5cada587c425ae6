/** Faults of jambonz, its media server or the network. Each fault was observed, or found in the source of jambonz. */
export interface Faults {
  /** Delays the upgrade request by this many ms. jambonz meanwhile buffers 2 s of audio; earlier audio is lost. */
  slowUpgradeMs?: number | undefined
  /** Sends no metadata frame, so that the first frame is audio. */
  noMetadata?: boolean | undefined
  /** Sends the metadata frame this many ms after the first audio. */
  lateMetadataMs?: number | undefined
  /**
   * Damages the metadata frame as FreeSWITCH's tokenizer does if the data contains an apostrophe or a quote, or is too
   * long.
   */
  metadata?: 'apostrophe' | 'quote' | 'cut' | undefined
  /** Breaks the TCP connection this many ms after the socket opened, without a close frame. The call goes on. */
  dropAfterMs?: number | undefined
  /** Posts the call webhook twice. */
  duplicateWebhook?: boolean | undefined
  /** Posts every actionHook twice. */
  duplicateHook?: boolean | undefined
  /** Posts the actionHook of a listen first, and closes its socket this many ms later. */
  hookBeforeCloseMs?: number | undefined
  /** Sends no hooks for background listens that end with the call. */
  noHookAfterHangup?: boolean | undefined
  /**
   * Blocks the network from `fromMs` after the socket opened, for `forMs`. Then messages arrive before the buffered
   * audio.
   */
  stall?: { fromMs: number; forMs: number } | undefined
  /** Has the caller hang up before the server answers the upgrade. */
  hangUpDuringUpgrade?: boolean | undefined
  /**
   * Does not close the socket, but shuts it down gracefully: sends an empty binary frame, then nothing until the server
   * closes the socket.
   */
  gracefulShutdown?: boolean | undefined
}
