/** ms that audio may be late before a gap is suspected. */
const LIVE_LAG = 200
/** ms of the shortest gap; a shorter lag is jitter. */
const MIN_GAP = 200
/** ms to which the lag falls after a stall, when all audio has arrived. */
const CAUGHT_UP = 60
/** ms without a further fall of the lag, after which the lag is persistent. */
const SETTLE = 100
/** ms that a socket may take to open before jambonz loses audio (MOD_AUDIO_FORK_BUFFER_SECS is 1 or more). */
const SLOW_OPENING = 950
/** ms after which a lag is judged, even if it is still falling. */
const MAX_DOUBT = 2_000
/** Maximum drift between the clocks of two machines, as a part of the time. Drift must not count as a gap. */
const DRIFT = 0.0002
/**
 * ms by which audio can be ahead of the clock, since jambonz sends audio that it kept before the connection
 * was open.
 */
const MAX_AHEAD = 5_000
/**
 * The least lag is known once it has fallen by less than STEADY_LAG during STEADY_MS of audio, both in ms.
 */
const STEADY_MS = 240
const STEADY_LAG = 100
/**
 * ms by which audio is late just before the next message arrives: the length of a message and some jitter.
 */
const UNDER_WAY = 40

/** value of `#doubtSince` while no gap is in doubt */
const NO_DOUBT = -1

/**
 * Distinguishes missing audio from late audio. Audio is missing if live-call control paused jambonz, or
 * jambonz dropped its buffer. The lag is the time by which audio arrives after it was said. After a stall of
 * the network the lag falls again, because all audio arrives in a burst; after a gap the lag stays. So when
 * audio resumes late, the gap is in doubt until the lag has fallen or has stayed.
 */
export class GapMeter {
  /** ms of all gaps */
  total = 0
  /** ms of the longest gap */
  longest = 0
  /** ms by which audio is always late, because it is read in batches. */
  batchMs = 0
  /** ms between two reads. A gap in doubt is judged only after the next read. */
  readMs = 0
  // Time at which the audio so far ends, gaps included, ms on the scale of `now`.
  #clock = 0
  // Least lag so far, ms, which is the normal lag of this connection; Infinity before any audio.
  #normal = Infinity
  #doubtSince = NO_DOUBT
  #lowest = 0
  #lowestAt = 0
  // Time at which the latest audio arrived, ms on the scale of `now`.
  #latestAt = 0
  // Time on the audio's clock, ms, since which the least lag has not changed.
  #steadySince = Infinity
  #steadyLag = Infinity

  /** Time on the audio's clock, ms, which counts the audio that arrived and the gaps. */
  get clock(): number {
    return this.#clock
  }

  /**
   * Earliest time at which the audio so far could have arrived, ms on the scale of `now`; Infinity before any
   * audio.
   */
  get earliest(): number {
    return this.#clock + this.#normal
  }

  /**
   * Notes when the socket was requested, and when it was open. jambonz listens from the request on, and keeps
   * the latest 2 s of audio until the socket is open (mod_audio_fork). So the clock starts at the request,
   * and audio that is missing after a slow opening is a gap. After a quick opening no audio is lost; if audio
   * seems to be missing, it only began later. Must be called before any audio.
   */
  opened(requestedAt: number, openAt: number): void {
    this.#clock = requestedAt
    this.#normal = openAt - requestedAt < SLOW_OPENING ? Infinity : 0
  }

  /**
   * Counts `ms` of audio that arrived at `now` (ms). Returns true while it is not clear whether audio is
   * missing before this audio.
   */
  doubts(now: number, ms: number): boolean {
    this.#clock += ms
    this.#latestAt = now
    const lag = now - this.#clock
    this.#normal += ms * DRIFT
    if (lag < this.#normal) this.#lower(lag)
    const excess = lag - this.#normal
    if (this.#doubtSince === NO_DOUBT) {
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
   * Returns the time, on the audio's clock, of the audio that is said at `now`. Audio before that time is
   * late. Until the least lag is known, it counts as 0 at most, since no audio is said before the socket is
   * requested. Returns undefined if no audio is late, apart from the next message, or if the audio arrives
   * faster than it is said.
   */
  saidUntil(now: number): number | undefined {
    const isSteady = this.#clock - this.#steadySince >= STEADY_MS
    const until = now - (isSteady ? this.#normal : Math.min(this.#normal, 0))
    return until - this.#clock > UNDER_WAY ? until : undefined
  }

  /** Returns true if a gap in doubt can be judged before the audio that arrives at `now`. */
  isDue(now: number): boolean {
    return now - this.#lowestAt >= SETTLE + this.readMs || now - this.#doubtSince >= MAX_DOUBT
  }

  /** Judges the gap in doubt. Returns the ms that are missing before the audio that raised the doubt. */
  judge(): number {
    this.#doubtSince = NO_DOUBT
    if (this.#lowest < MIN_GAP) return 0
    const gap = Math.round(this.#lowest)
    this.#clock += gap
    this.total += gap
    this.longest = Math.max(this.longest, gap)
    return gap
  }

  /**
   * Judges the gap in doubt at the end of the audio. If only the last read raised the doubt, the audio may have waited
   * in the kernel for up to `readMs`: the lag may be that long without a gap.
   */
  judgeLast(): number {
    if (this.#latestAt - this.#doubtSince < SETTLE) this.#lowest -= this.readMs
    return this.judge()
  }

  #lower(lag: number): void {
    this.#normal = Math.max(lag, -MAX_AHEAD)
    if (lag >= this.#steadyLag - STEADY_LAG) return
    this.#steadyLag = lag
    this.#steadySince = this.#clock
  }
}
