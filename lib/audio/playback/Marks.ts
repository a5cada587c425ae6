import { MARK_SAMPLE, withoutMarkSamples } from '../../pcm/samples.js'
import type { MarkEvent, MarkOutcome } from '../socket/types.js'

/**
 * Maximum number of marks that may wait at once. jambonz drops further marks without a report
 * (mod_audio_fork).
 */
const MAX_MARKS = 30
/** ms after the expected time of a mark, after which the mark counts as lost */
const GRACE = 3_000
/** Maximum number of names that are remembered for late reports. */
const MAX_UNREPORTED = 100
/**
 * Matches names that mod_audio_fork passes on correctly. It neither escapes names nor limits their length.
 */
const SAFE_NAME = /^[\w .:@+#-]{1,64}$/

/** ms that jambonz has to carry out a `clear()`, and to report the marks that it cleared */
const CLEAR_DEADLINE = 1_000
/** ms after which a clear counts as carried out, if jambonz' reports of marks are not trusted */
const CLEAR_HOLD = 200
/** ms by which the caller may hear audio later than the clock says */
const PLAYOUT_MARGIN = 500
/**
 * Prefix of the names of fences (see Clearing). No mark has this prefix, since SAFE_NAME does not allow `~`.
 */
const FENCE = 'clear~'

/** A placed mark. The audio before it has been sent. */
export interface Mark {
  /** the application's name; undefined for an internal mark */
  readonly name: string | undefined
  readonly wireName: string
  /** ms of the application's audio before the mark */
  readonly positionMs: number
  /** true if jambonz reports when the caller reaches the mark; false if the clock decides */
  real: boolean
  /** true if audio was sent after the mark, so that a sample in the audio of jambonz stands for the mark */
  inBand: boolean
  /** ms on the clock after which the mark counts as lost, if jambonz has not reported it */
  readonly dueAt: number
  /**
   * true if the promise of the mark has resolved to `cleared`, although jambonz will still report the mark
   */
  forgotten: boolean
}

/**
 * The placed marks that the caller has not reached, oldest first. They were sent to jambonz, or the clock
 * alone settles them. jambonz reports marks in this order.
 */
export class Marks {
  readonly #onOutcome: (mark: MarkEvent) => void
  readonly #settlers = new Map<Mark, (outcome: MarkOutcome) => void>()
  // Names of marks that were settled before jambonz reported them. The reports may still arrive.
  readonly #unreported = new Set<string>()
  #placed: Mark[] = []
  #count = 0
  #stale = 0

  constructor(onOutcome: (mark: MarkEvent) => void) {
    this.#onOutcome = onOutcome
  }

  get size(): number {
    return this.#placed.length
  }

  /** Number of marks that jambonz has not reported yet. */
  get waiting(): number {
    return this.#placed.reduce((sum, { real }) => sum + Number(real), 0)
  }

  get full(): boolean {
    return this.waiting >= MAX_MARKS
  }

  /**
   * Position, in ms, of the first mark that jambonz has not reported. The caller has heard no audio after
   * this mark.
   */
  get limitMs(): number {
    return this.#placed.find(({ real }) => real)?.positionMs ?? Infinity
  }

  /**
   * Adds a mark behind all other marks. `expectedAt`: ms on the clock at which the caller reaches the mark.
   */
  place(
    name: string | undefined,
    real: boolean,
    positionMs: number,
    expectedAt: number,
    settle: (outcome: MarkOutcome) => void
  ): Mark {
    const wireName = name !== undefined && SAFE_NAME.test(name) ? name : `~${++this.#count}`
    const mark: Mark = {
      name,
      wireName,
      positionMs,
      real,
      inBand: false,
      dueAt: expectedAt + GRACE,
      forgotten: false
    }
    this.#placed.push(mark)
    this.#settlers.set(mark, settle)
    return mark
  }

  /**
   * Notes that audio was sent after the marks, so that a sample in the audio of jambonz stands for each of
   * them.
   */
  enterAudio(): void {
    for (const mark of this.#placed) if (mark.real) mark.inBand = true
  }

  /** Returns true for the late report of a mark that was settled already. */
  isLate({ name }: MarkEvent): boolean {
    return this.#unreported.delete(name)
  }

  /** Returns the mark that a report names; undefined if no placed mark has the name. */
  find({ name }: MarkEvent): Mark | undefined {
    return this.#placed.find(({ real, wireName }) => real && wireName === name)
  }

  /** Takes jambonz' report of a mark. */
  report(mark: Mark, event: MarkOutcome): void {
    if (event === 'playout') {
      // The marks before this mark have been played, too. jambonz will not report them any more.
      while (this.#placed[0] !== mark) this.#settle(this.#placed[0], 'playout', false)
    } else if (mark.inBand) this.#stale++
    this.#settle(mark, event, true)
  }

  /** Lets the clock settle all marks from now on, since a report of jambonz was wrong or missing. */
  distrust(): void {
    for (const mark of this.#placed.filter(({ real }) => real)) {
      mark.real = false
      this.#expectLate(mark)
    }
  }

  /**
   * Number of stale marks. jambonz threw away the sample of a stale mark in a clear, but still waits for this
   * sample. While there are stale marks, jambonz reports all later marks at wrong times.
   */
  get stale(): number {
    return this.#stale
  }

  /** Notes that a sample was sent for each stale mark, so that jambonz has no stale marks any more. */
  cured(): void {
    this.#stale = 0
  }

  /** Settles the marks that the caller has reached, as far as the clock decides. */
  played(playedMs: number): void {
    for (
      let first = this.#placed[0];
      first !== undefined && !first.real && first.positionMs <= playedMs;
      first = this.#placed[0]
    ) {
      this.#settle(first, 'playout', false)
    }
  }

  /** Settles the oldest mark if jambonz failed to report it in time, and returns it. */
  takeLost(now: number): Mark | undefined {
    const first = this.#placed[0]
    if (first === undefined || !first.real || now < first.dueAt) return undefined
    this.#settle(first, 'playout', false)
    return first
  }

  /** Settles, as cleared, the marks for which the clock decides. jambonz reports the other marks. */
  clearClocked(): void {
    for (const mark of this.#placed.filter(({ real }) => !real)) this.#settle(mark, 'cleared', false)
  }

  /** Settles all marks as cleared, since jambonz will not report them. */
  clearAll(): void {
    for (const mark of [...this.#placed]) {
      if (mark.inBand) this.#stale++
      this.#settle(mark, 'cleared', false)
    }
  }

  /** Settles all marks of the application as cleared, although jambonz still counts them and will report them. */
  forget(): void {
    for (const mark of this.#placed.filter(({ name }) => name !== undefined)) {
      if (!mark.real) this.#settle(mark, 'cleared', false)
      else if (!mark.forgotten) {
        mark.forgotten = true
        this.#tell(mark, 'cleared')
      }
    }
  }

  #settle(mark: Mark | undefined, outcome: MarkOutcome, reported: boolean): void {
    if (mark === undefined) return
    this.#placed = this.#placed.filter((other) => other !== mark)
    if (mark.real && !reported) this.#expectLate(mark)
    if (!mark.forgotten) this.#tell(mark, outcome)
  }

  #expectLate({ wireName }: Mark): void {
    if (this.#unreported.size < MAX_UNREPORTED) this.#unreported.add(wireName)
  }

  #tell(mark: Mark, outcome: MarkOutcome): void {
    this.#settlers.get(mark)?.(outcome)
    this.#settlers.delete(mark)
    if (mark.name !== undefined) this.#onOutcome({ name: mark.name, event: outcome })
  }
}

/**
 * The state of a clear. While it is under way, no audio may be sent, since jambonz would throw this audio
 * away, too. The clear ends when jambonz reports the waiting marks as cleared. If no mark is waiting, a fence
 * is sent after the `killAudio`. A fence is a mark without audio before it, which jambonz reports as soon as
 * it reads the mark.
 */
export class Clearing {
  #until: number | undefined
  #fence: string | undefined
  #count = 0

  get underWay(): boolean {
    return this.#until !== undefined
  }

  begin(now: number, marksWork: boolean): void {
    this.#until = now + (marksWork ? CLEAR_DEADLINE : CLEAR_HOLD)
  }

  isOverdue(now: number): boolean {
    return this.#until !== undefined && now >= this.#until
  }

  /** Returns the name of the fence to send; undefined if it was sent already. */
  raiseFence(): string | undefined {
    if (this.#fence !== undefined) return undefined
    this.#fence = `${FENCE}${++this.#count}`
    return this.#fence
  }

  /** Returns true if a mark is a fence, even a late one. */
  isFence(name: string): boolean {
    return name.startsWith(FENCE)
  }

  end(): void {
    this.#until = undefined
    this.#fence = undefined
  }
}

/**
 * Replaces samples of the application's audio that jambonz would take for marks. The replacement begins with
 * the first mark, so audio that was sent earlier may still contain such samples.
 */
export class MarkSamples {
  #avoided = false
  // Time until which audio with samples that jambonz takes for marks may be playing, ms on the clock.
  #playedUntil = -Infinity

  /**
   * Begins to replace samples that jambonz would take for a mark. `areSent`: returns true if audio with such samples
   * was sent, and may play until `playedUntil`, ms on the clock.
   */
  avoid(areSent: (value: number) => boolean, playedUntil: number): void {
    if (this.#avoided) return
    this.#avoided = true
    if (areSent(MARK_SAMPLE)) this.#playedUntil = playedUntil + PLAYOUT_MARGIN
  }

  /** Returns the audio to send. After `avoid()`, it has no samples that jambonz would take for a mark. */
  without(audio: Buffer): Buffer {
    return this.#avoided ? withoutMarkSamples(audio) : audio
  }

  /** Returns true while audio with samples that jambonz takes for marks may be playing. */
  mayPlay(now: number): boolean {
    return now < this.#playedUntil
  }
}
