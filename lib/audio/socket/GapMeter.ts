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
/** Number of silences after which audio that always comes in bursts is judged, too. */
const MAX_BURSTS = 8
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

/** A piece of audio that is held back while a gap is in doubt. */
export interface DoubtedAudio {
  /** time at which the audio arrived, ms on the scale of `now` */
  readonly now: number
  /** ms by which the audio was later than normal */
  late: number
  /** maximum ms for which the audio may have waited in the kernel */
  readonly waited: number
}

/** The judgement of a gap in doubt. Pieces of the audio that was held back are counted from the oldest. */
export interface JudgedGap {
  /** ms that are missing; 0 if there is no gap */
  ms: number
  /**
   * The gap is between the beginnings of the pieces `from` and `to`. Both are the same, except for a gap between two
   * reads that are far apart: its place in the audio that was read at once is not known.
   */
  from: number
  to: number
  /** the number of pieces that are settled. The audio behind these pieces is later still, which is a new doubt. */
  settled: number
}

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
  // number of silences in this doubt
  #bursts = 0
  #lowest = 0
  #lowestAt = 0
  // ms of the gap that is known to end where the gap in doubt begins; 0 if there is none
  #joined = 0
  // True if the gap in doubt may be within the audio of the read that raised the doubt, and not only before it.
  #isWithin = false
  // Time at which the latest audio arrived, ms on the scale of `now`; -Infinity before any audio.
  #latestAt = -Infinity
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
    const lag = now - this.#clock
    this.#normal += ms * DRIFT
    if (lag < this.#normal) this.#lower(lag)
    const excess = lag - this.#normal
    const before = this.#latestAt
    this.#latestAt = now
    if (this.#doubtSince === NO_DOUBT) {
      if (excess < LIVE_LAG + this.batchMs) return false
      const lateBefore = before - this.#clock + ms - this.#normal
      this.#beginDoubt(now, Math.abs(lateBefore) <= CAUGHT_UP)
    } else if (now - before >= SETTLE + this.readMs && this.#bursts < MAX_BURSTS) {
      // No audio came for a while, so this audio may be the beginning of a burst.
      this.#bursts++
      this.#doubtSince = this.#lowestAt = now
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

  /** ms by which the latest audio was later than normal */
  get late(): number {
    return this.#latestAt - this.#clock - this.#normal
  }

  /** Returns true if the gap in doubt can be judged at `now`. */
  isDue(now: number): boolean {
    return now - this.#lowestAt >= SETTLE + this.readMs || now - this.#doubtSince >= MAX_DOUBT
  }

  /** Judges the gap in doubt. Returns the ms that are missing before the audio that raised the doubt. */
  judge(): number {
    this.#doubtSince = NO_DOUBT
    if (this.#lowest < (this.#joined > 0 ? CAUGHT_UP : MIN_GAP)) return 0
    const gap = Math.round(this.#lowest)
    this.#clock += gap
    this.total += gap
    this.longest = Math.max(this.longest, this.#joined + gap)
    return gap
  }

  /**
   * Judges the gap in doubt, and finds its place in the audio that was held back. Returns `settled` less than the
   * length of `held` if another gap is in doubt behind that audio.
   */
  judgeWithin(held: readonly DoubtedAudio[]): JudgedGap {
    const limit = this.#lowest + CAUGHT_UP
    const isWithin = this.#isWithin
    const ms = this.judge()
    const settled = held.findLastIndex(({ late }) => late <= limit) + 1
    const firstRead = lengthOfFirstRead(held)
    // A gap that begins within one read, and goes on in the next, begins at the end of the first.
    const goesOn = isWithin && firstRead === settled && settled < held.length
    if (settled < held.length) this.#doubtRest(held.slice(settled), ms, goesOn)
    if (goesOn) return { ms, from: settled, to: settled, settled }
    // Between two reads there is no room for a gap of the same length, and for audio before it.
    const hasRoom = ms < this.readMs - CAUGHT_UP
    const to = isWithin && hasRoom ? Math.min(firstRead, settled) : 0
    return { ms, from: 0, to, settled }
  }

  /**
   * Notes that no more audio comes, before the gap in doubt is judged. The last audio may have waited in the kernel, so
   * it proves a gap only if it is later than that.
   */
  end(held: readonly DoubtedAudio[]): void {
    const isLast = ({ now }: DoubtedAudio): boolean => this.#latestAt - now < SETTLE
    const last = held.filter(isLast)
    const earlier = held.filter((one) => !isLast(one))
    const waited = Math.max(0, ...last.map((one) => one.waited))
    const known = earlier.at(-1)?.late ?? 0
    for (const one of last) one.late = Math.max(one.late - waited, Math.min(one.late, known))
    const isUnproven = held.length === 0 && this.#latestAt - this.#doubtSince < SETTLE
    this.#lowest = isUnproven ? 0 : Math.min(this.#lowest, ...held.map(({ late }) => late))
  }

  /** `isWithin`: true if no audio is missing before the audio of the last read. */
  #beginDoubt(now: number, isWithin: boolean): void {
    this.#doubtSince = this.#lowestAt = now
    this.#bursts = 0
    this.#lowest = Infinity
    this.#joined = 0
    this.#isWithin = isWithin && this.readMs > MIN_GAP
  }

  /** Doubts the audio behind a gap of `gap` ms, since it is later than the gap explains. */
  #doubtRest(rest: readonly DoubtedAudio[], gap: number, goesOn: boolean): void {
    this.#beginDoubt(rest[0]?.now ?? this.#latestAt, !goesOn)
    if (goesOn) this.#joined = gap
    for (const one of rest) {
      one.late -= gap
      if (one.late >= this.#lowest) continue
      this.#lowest = one.late
      this.#lowestAt = one.now
    }
  }

  #lower(lag: number): void {
    this.#normal = Math.max(lag, -MAX_AHEAD)
    if (lag >= this.#steadyLag - STEADY_LAG) return
    this.#steadyLag = lag
    this.#steadySince = this.#clock
  }
}

/** Returns the number of pieces that were read together with the first piece. */
function lengthOfFirstRead(held: readonly DoubtedAudio[]): number {
  const [first] = held
  const next = held.findIndex(({ now }) => now - (first?.now ?? now) >= SETTLE)
  return next < 0 ? held.length : next
}

/**
 * ms between two turns of the event loop that are noted: less than half of MIN_GAP, and not much less, since each turn
 * may wake an idle process.
 */
export const TURN_MS = 80
/** Number of turns that are kept: more than between two reads of a batch. */
const KEPT_TURNS = 16

/**
 * Notes turns of the event loop while sockets are open. If the loop stands still, audio waits in the kernel: it is late,
 * but not missing.
 */
export class LoopTurns {
  readonly #turns = new Float64Array(KEPT_TURNS)
  #latest = 0
  #users = 0
  #timer: NodeJS.Timeout | undefined

  /** Begins to note turns, for one more socket. */
  begin(): void {
    this.#users++
    if (this.#users > 1) return
    this.#turns.fill(performance.now())
    this.#timer = setInterval(() => this.note(performance.now()), TURN_MS).unref()
  }

  end(): void {
    this.#users--
    if (this.#users === 0) clearInterval(this.#timer)
  }

  /** Notes a turn that begins at `now`. */
  note(now: number): void {
    this.#latest = (this.#latest + 1) % KEPT_TURNS
    this.#turns[this.#latest] = now
  }

  /**
   * Returns the maximum ms for which audio that is read at `now` may have waited in the kernel, if there are `readMs` ms
   * between two reads. While the loop stands still, sockets are not read, and turns are not counted.
   */
  maxWait(now: number, readMs: number): number {
    // A turn polls the sockets behind its timers, so this audio came after the turn before the latest turn had begun.
    const turns = Math.ceil(readMs / TURN_MS) + 1
    const ms = now - (this.#turns[(this.#latest - turns + KEPT_TURNS) % KEPT_TURNS] ?? now)
    return ms < (turns - 1) * TURN_MS + MIN_GAP ? readMs : ms
  }
}

/** The turns of the event loop of this process. */
export const loopTurns = new LoopTurns()
