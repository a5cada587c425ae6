import { SAMPLE_BYTES, SampleRing } from '../../pcm/samples.js'

/** ms of audio that is held while no audio arrives from jambonz; older audio is dropped */
const MAX_WAITING = 90_000
/**
 * ms of audio for which there is room at first: as much as jambonz holds if the application sends in real time, and the
 * audio of frames that HeardTrack plays together
 */
const FIRST_ROOM = 340
/** ms beyond the usual round trip to wait for a pong */
const PONG_PATIENCE = 500

/** Called when the caller hears the audio at the label. `atMs`: ms into the caller's audio. */
export type Label = (atMs: number) => void

/** A ping and its pong. jambonz sends pongs in order with frames, so a pong tells when jambonz has read our audio. */
export interface Sync {
  /** ms of the frames that jambonz had sent before it read the ping; Infinity before the pong */
  fromMs: number
  /** ms on the clock at which the pong arrived; Infinity before that */
  at: number
}

/**
 * An item that was sent to jambonz:
 * - `audio`: its samples are in the ring
 * - `silence`: padding
 * - `private`: audio that was written in private, for which there is silence
 * - `clear`: the command to throw away the audio that jambonz has
 * - `label`: a place between two items, such as the beginning or end of an utterance
 */
type Sent = SentItem & ({ kind: AudioKind | 'clear' } | { kind: 'label'; label: Label })
type AudioKind = 'audio' | 'silence' | 'private'

interface SentItem {
  /** ms on the clock at which jambonz could begin to play the item; Infinity while its prebuffer holds it back */
  at: number
  /** number of samples; 0 for a clear or a label */
  length: number
  /** the ping that was sent behind the item, and its pong */
  sync: Sync | undefined
}

/** The application's audio that was sent to jambonz and that the caller has not heard yet, in its order. */
export class SentAudio {
  readonly #rate: number
  // Items that jambonz may not have read yet.
  #sent: Sent[] = []
  // Items that jambonz has begun to play or will play next.
  #playing: Sent[] = []
  // Number of samples of the first item of #playing that were played.
  #head = 0
  // The audio of #playing and #sent, in this order. One ring is much cheaper than a buffer for each chunk.
  readonly #ring: SampleRing
  // Number of samples in #playing and #sent, silence included.
  #waiting = 0
  #labels = 0

  /** `rate`: Hz */
  constructor(rate: number) {
    this.#rate = rate
    this.#ring = new SampleRing((rate * FIRST_ROOM) / 1000)
  }

  /** true if neither audio nor a clear nor a label waits */
  get isEmpty(): boolean {
    return this.#sent.length === 0 && this.#playing.length === 0
  }

  get hasLabels(): boolean {
    return this.#labels > 0
  }

  /** true if jambonz plays nothing, and plays nothing next */
  get isSilent(): boolean {
    return (
      this.#playing.length === 0 && !this.#sent.some(({ at, kind }) => at !== Infinity && kind !== 'clear')
    )
  }

  /** Adds L16 audio, which the prebuffer of jambonz holds back until `release()`. */
  addAudio(pcm: Buffer): void {
    this.#ring.push(pcm)
    this.#add('audio', pcm.length / SAMPLE_BYTES)
  }

  /** Adds `length` samples without sound: padding, or audio that was written in private. */
  addSilence(kind: 'silence' | 'private', length: number): void {
    this.#add(kind, length)
  }

  /** Adds a label at the beginning of the audio that is sent next. */
  addLabel(label: Label): void {
    this.#labels++
    this.#sent.push({ kind: 'label', at: Infinity, length: 0, sync: undefined, label })
  }

  /** Adds a label at the end of all audio. It waits as long as the audio before it. */
  addEndLabel(label: Label): void {
    const held = this.#sent.filter(({ at }) => at === Infinity)
    this.addLabel(label)
    if (held.some(({ length }) => length > 0)) return
    // No audio is held back, so the labels before this one, of an utterance without audio, do not wait either.
    this.release(-Infinity, undefined)
  }

  addClear(now: number, sync: Sync): void {
    this.#sent.push({ kind: 'clear', at: now, length: 0, sync })
  }

  /** Notes that jambonz begins to play the items that its prebuffer held back. `sync`: the ping behind them, if any. */
  release(now: number, sync: Sync | undefined): void {
    for (let i = this.#sent.length - 1; i >= 0; i--) {
      const each = this.#sent[i]
      if (each === undefined || each.at !== Infinity) break
      each.at = now
      each.sync = sync
    }
  }

  /** Sets the time of each pong that came before any frame, and at least `ms` before `now`, to `-ms`. */
  correctEarlyPongs(now: number, ms: number): void {
    for (const { sync } of this.#sent) {
      if (sync && sync.fromMs <= 0 && now - sync.at > ms) sync.fromMs = -ms
    }
  }

  /** Returns true if the audio may have a sample of this value. */
  mayHave(value: number): boolean {
    const items = [...this.#playing, ...this.#sent]
    return this.#ring.includes(value) || items.some(({ kind }) => kind === 'private')
  }

  /**
   * Notes that jambonz plays the items that it had read when it sent a frame: those with a pong before `frameMs`, and
   * those without a pong that were sent before `horizon`, ms on the clock. Returns true if a clear was among them, which
   * drops the items before it.
   */
  receive(frameMs: number, horizon: number): boolean {
    let isCleared = false
    for (let next = this.#sent[0]; next !== undefined; next = this.#sent[0]) {
      const { at, sync } = next
      if (sync === undefined ? at > horizon : frameMs < sync.fromMs && at > horizon - PONG_PATIENCE) break
      this.#sent.shift()
      if (next.kind === 'clear') {
        isCleared = true
        while (this.#playing.length > 0) this.#dropFirst(this.#playing)
      } else this.#playing.push(next)
    }
    return isCleared
  }

  /**
   * Moves at most `wanted` samples that jambonz plays to `into`, from its place `at` on. Returns their number. Calls the
   * labels between them, with `atMs` as the time of the first sample.
   */
  take(into: Int16Array, at: number, wanted: number, atMs: number): number {
    let count = 0
    for (let next = this.#playing[0]; next !== undefined; next = this.#playing[0]) {
      if (next.kind === 'label') {
        this.#labels--
        next.label(Math.round(atMs + (count / this.#rate) * 1000))
      }
      if (count === wanted && next.length > 0) break
      const part = Math.min(wanted - count, next.length - this.#head)
      this.#waiting -= part
      if (next.kind === 'audio') this.#ring.shift(into, at + count, part)
      else into.fill(0, at + count, at + count + part)
      count += part
      this.#head += part
      if (this.#head < next.length) break
      this.#playing.shift()
      this.#head = 0
    }
    return count
  }

  // Chunks that the prebuffer holds back are released together, so they are one item.
  #add(kind: AudioKind, length: number): void {
    const last = this.#sent.at(-1)
    if (last?.kind === kind && last.at === Infinity) last.length += length
    else this.#sent.push({ kind, at: Infinity, length, sync: undefined })
    this.#waiting += length
    while (this.#waiting > (MAX_WAITING * this.#rate) / 1000) {
      this.#dropFirst(this.#playing.length > 0 ? this.#playing : this.#sent)
    }
  }

  // Drops the first of `items`, which are #playing, or #sent while nothing plays.
  #dropFirst(items: Sent[]): void {
    const first = items.shift()
    if (first === undefined) return
    if (first.kind === 'label') this.#labels--
    const samples = first.length - this.#head
    this.#head = 0
    this.#waiting -= samples
    if (first.kind === 'audio') this.#ring.drop(samples)
  }
}
