/** ms that audio may be late before anyone asks whether some of it is missing. */
const LIVE_LAG = 200
/** A lag that stays this long is a gap; smaller ones are jitter of two clocks. */
const MIN_GAP = 200
/** A lag that fell to this was a stall: everything came in the end. */
const CAUGHT_UP = 60
/** ms without a further fall of the lag after which it is taken as persistent. */
const SETTLE = 100
/** ms that a socket may take to open before jambonz can have lost audio: MOD_AUDIO_FORK_BUFFER_SECS is 1 or more. */
const SLOW_OPENING = 950
/** ms after which a lag is judged even if it is still falling. */
const MAX_DOUBT = 2_000
/** Clocks of two machines part by less than this; what they part by is no gap. */
const DRIFT = 0.0002
/** ms that audio can be ahead of the clock: jambonz sends what it kept from before the connection. */
const MAX_AHEAD = 5_000
/** The least lag is known once so many ms of audio have not lowered it by more than this. */
const STEADY_MS = 240
const STEADY_LAG = 100
/** ms that audio is late when the next message is due: no more than a message and some jitter. */
const UNDER_WAY = 40

/**
 * Tells audio that never came (jambonz was paused by live-call control, or threw its buffer away) from audio that
 * came late. A stall of the network is made up for by the burst that ends it; a gap is not. So when audio resumes,
 * the lag is in doubt until it has either fallen again or stayed.
 */
export class GapMeter {
  /** ms, all gaps */
  total = 0
  /** ms, the longest gap */
  longest = 0
  /** Audio is read in batches of this many ms: so late it always is. */
  batchMs = 0
  /** ms between two reads: what the next one brings may end a doubt. */
  readMs = 0
  // Where the audio's clock stands, gaps included, on the scale of `now`.
  #clock = -1
  // The least lag seen: what is normal on this connection.
  #normal = 0
  #doubtSince = -1
  #lowest = 0
  #lowestAt = 0
  // Since when, on the audio's clock, the least lag has been what it is.
  #steadySince = Infinity
  #steadyLag = Infinity

  /** The audio's clock, ms: the audio that arrived, and the gaps. */
  get clock(): number {
    return this.#clock
  }

  /** When all that has come could have come at the earliest, on the scale of `now`; Infinity before any. */
  get earliest(): number {
    return this.#clock < 0 ? Infinity : this.#clock + this.#normal
  }

  /**
   * Says when the socket was asked for, and when it was open. jambonz listens from the first on and keeps 2 s of audio
   * until the second; of more it throws the first away (mod_audio_fork). So after a slow opening the clock runs from the
   * request, and what has not come when the audio is up with it is a gap. To be called before any audio.
   */
  opened(requestedAt: number, openAt: number): void {
    if (openAt - requestedAt < SLOW_OPENING) return
    this.#clock = requestedAt
  }

  /** Counts `ms` of audio that arrived at `now` (ms). true: whether something is missing before it is in doubt. */
  doubts(now: number, ms: number): boolean {
    if (this.#clock < 0) {
      this.#clock = now
      this.#normal = -ms
    }
    this.#clock += ms
    const lag = now - this.#clock
    this.#normal += ms * DRIFT
    if (lag < this.#normal) this.#lower(lag)
    const excess = lag - this.#normal
    if (this.#doubtSince < 0) {
      if (excess < LIVE_LAG + this.batchMs) return false
      this.#doubtSince = now
      this.#lowest = Infinity
    }
    if (excess < this.#lowest) {
      this.#lowest = excess
      this.#lowestAt = now
    }
    return excess > CAUGHT_UP
  }

  /**
   * Returns where on the audio's clock lies what is said at `now`, when more than the next message is under way: what
   * comes before that was said earlier and is late. undefined where nothing is late, or nobody can know: audio that does
   * not come in real time.
   */
  saidUntil(now: number): number | undefined {
    if (this.#clock < 0) return undefined
    const until = now - this.#normal
    const isSteady = this.#clock - this.#steadySince >= STEADY_MS
    return isSteady && until - this.#clock > UNDER_WAY ? until : undefined
  }

  /** true when a lag in doubt can be judged before the audio that arrives at `now`. */
  isDue(now: number): boolean {
    return now - this.#lowestAt >= SETTLE + this.readMs || now - this.#doubtSince >= MAX_DOUBT
  }

  /** Ends the doubt: ms missing before the audio that raised it. */
  judge(): number {
    this.#doubtSince = -1
    if (this.#lowest < MIN_GAP) return 0
    const gap = Math.round(this.#lowest)
    this.#clock += gap
    this.total += gap
    this.longest = Math.max(this.longest, gap)
    return gap
  }

  #lower(lag: number): void {
    this.#normal = Math.max(lag, -MAX_AHEAD)
    if (lag >= this.#steadyLag - STEADY_LAG) return
    this.#steadyLag = lag
    this.#steadySince = this.#clock
  }
}
