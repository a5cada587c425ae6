import type { FastifyBaseLogger } from 'fastify'
import { FRAME_MS } from '../../pcm/samples.js'
import { writeCommand } from '../socket/messages.js'
import type { PlayDone } from '../socket/types.js'
import { AudioFile } from './AudioFile.js'

/** ms after the end of a file by which jambonz must have reported it */
const GRACE = 10_000
/** ms that jambonz has to stop a file */
const STOP_DEADLINE = 1_000
/** Matches ids that mod_audio_fork passes on unchanged. For example, it cuts a message at an apostrophe. */
const SAFE_ID = /^[\w .:@+#-]{1,64}$/

export interface PlayOptions {
  /** the id in the `playDone` event. Default: `play~1`, `play~2`, … */
  id?: string | undefined
  /** true to play the file after the earlier files; false to stop the earlier files. Default: false */
  queue?: boolean | undefined
  /**
   * Hz of raw L16 audio; the header of a WAV names its rate. Default: the rate in the verb's
   * `bidirectionalAudio`
   */
  sampleRate?: number | undefined
}

export interface FilePlaybackDeps {
  /** Sends a command as text. */
  send: (command: string | Buffer) => void
  /** Returns the speed at which the call's audio arrives; 1 is real time. */
  speed: () => number
  onDone: (done: PlayDone) => void
  logger: FastifyBaseLogger
}

interface Item {
  id: string
  wireId: string
  file: AudioFile
  /** undefined until the file is converted, and after it was sent */
  command?: Buffer
  isConverting: boolean
  dropped: boolean
  stopped: boolean
  /** the time at which the file was sent, ms as of performance.now() */
  sentAt: number
  timer?: NodeJS.Timeout
  settle: (done: PlayDone) => void
  fail: (err: unknown) => void
}

/**
 * Plays files to the caller, in file mode, one after the other. Each file has one `playDone`. jambonz gets
 * one file at a time, since a `killAudio` would start the next file if jambonz had it already.
 */
export class FilePlayback {
  readonly #deps: FilePlaybackDeps
  readonly #rate = new CallRate()
  #waiting: Item[] = []
  #playing: Item | undefined
  #count = 0
  #ended = false

  constructor(deps: FilePlaybackDeps) {
    this.#deps = deps
  }

  /**
   * Plays a file. Resolves when jambonz has reported the end of the file. Throws FST_JAMBONZ_AUDIO_FILE for a
   * file that can't be played. Rejects with the same error for an MP3 that can't be decoded. `rate`: Hz of
   * raw samples.
   */
  play(audio: Uint8Array, rate: number, { id, queue = false }: PlayOptions): Promise<PlayDone> {
    const file = new AudioFile(audio, rate)
    const wireId = id !== undefined && SAFE_ID.test(id) && !this.#knows(id) ? id : `play~${++this.#count}`
    return new Promise((resolve, reject) => {
      const item: Item = {
        id: id ?? wireId,
        wireId,
        file,
        isConverting: false,
        dropped: false,
        stopped: false,
        sentAt: 0,
        settle: resolve,
        fail: reject
      }
      if (this.#ended) return this.#drop(item)
      // Without a clear, jambonz would interrupt the old file, play the new one, and then continue the old one.
      if (!queue) this.clear()
      this.#waiting.push(item)
      this.#pump()
    })
  }

  /** Stops the file that is played, and drops the files that wait. */
  clear(): void {
    const dropped = this.#waiting
    this.#waiting = []
    for (const item of dropped) this.#drop(item)
    const playing = this.#playing
    if (playing === undefined || playing.stopped) return
    playing.stopped = true
    this.#deps.send(writeCommand({ type: 'killAudio' }))
    this.#expect(playing, STOP_DEADLINE)
  }

  /** Takes a `playDone` of jambonz. */
  reported(wireId: unknown, playbackMs: number, lastOffset: number): void {
    const item = this.#playing
    if (item === undefined || (wireId !== undefined && wireId !== item.wireId)) return
    this.#playing = undefined
    const { stopped, sentAt, file } = item
    const { durationMs } = file
    const elapsedMs = (performance.now() - sentAt) * Math.max(1, this.#deps.speed())
    const heardMs = this.#rate.heardMs({ lastOffset, playbackMs, durationMs, elapsedMs, stopped })
    const event = stopped ? 'cleared' : 'playout'
    this.#settle(item, { id: item.id, heardMs, playbackMs, lastOffset, event })
    this.#pump()
  }

  /** Drops all files, since the socket has closed. */
  end(): void {
    this.#ended = true
    const all = [...(this.#playing ? [this.#playing] : []), ...this.#waiting]
    this.#playing = undefined
    this.#waiting = []
    for (const item of all) this.#drop(item)
  }

  #knows(id: string): boolean {
    return this.#playing?.wireId === id || this.#waiting.some(({ wireId }) => wireId === id)
  }

  // Converts the next file while the previous file is played, and sends it afterwards.
  #pump(): void {
    const next = this.#waiting[0]
    if (next === undefined || next.isConverting) return
    if (next.command === undefined) {
      this.#convert(next)
      return
    }
    if (this.#playing !== undefined) return
    this.#waiting.shift()
    this.#playing = next
    next.sentAt = performance.now()
    this.#deps.send(next.command)
    delete next.command
    this.#expect(next, next.file.durationMs + GRACE)
  }

  async #convert(item: Item): Promise<void> {
    item.isConverting = true
    try {
      item.command = await item.file.toCommand(item.wireId, () => item.dropped)
    } catch (err) {
      this.#waiting = this.#waiting.filter((other) => other !== item)
      item.fail(err)
    }
    item.isConverting = false
    this.#pump()
  }

  #expect(item: Item, ms: number): void {
    clearTimeout(item.timer)
    item.timer = setTimeout(() => {
      this.#deps.logger.warn(`jambonz did not report the end of "${item.id}"`)
      this.reported(item.wireId, 0, 0)
    }, ms)
  }

  // Settles in a later turn, so that a handler that plays and clears in a loop does not block the event loop.
  #drop(item: Item): void {
    item.dropped = true
    const done: PlayDone = { id: item.id, heardMs: 0, playbackMs: 0, lastOffset: 0, event: 'cleared' }
    setImmediate(() => this.#settle(item, done))
  }

  #settle(item: Item, done: PlayDone): void {
    clearTimeout(item.timer)
    item.settle(done)
    this.#deps.onDone(done)
  }
}

/** Sample rates, in Hz, that a call may have. Nearly all calls have 8000 Hz. */
const RATES = [8000, 16_000, 24_000, 32_000, 48_000]
/** ms of the shortest file whose report gives the rate of the call exactly enough */
const SHORTEST = 200

/** The facts about a file whose end jambonz has reported. */
export interface FileReport {
  /** samples that the caller heard, at the rate of the call, which jambonz does not tell */
  lastOffset: number
  /** ms that jambonz read of the file; 0 if it did not say */
  playbackMs: number
  /** ms of the whole file */
  durationMs: number
  /** ms since the file was sent */
  elapsedMs: number
  /** true if the file was stopped */
  stopped: boolean
}

/**
 * Finds the rate of a call from jambonz' reports of files. If a file was played to its end, its number of
 * samples and its duration give the rate. Until then, the lowest possible rate is used. A rate is impossible
 * if, at this rate, the caller would have heard more than the whole file, or longer than the time since the
 * file was sent.
 */
export class CallRate {
  #known: number | undefined

  /** Returns the ms of a file that the caller heard. */
  heardMs(report: FileReport): number {
    if (!report.stopped) this.#known ??= RATES.find((rate) => isWhole(report, rate))
    const rate = this.#known ?? RATES.find((each) => isPossible(report, each)) ?? RATES[0]!
    return (report.lastOffset / rate) * 1000
  }
}

function isWhole({ lastOffset, durationMs }: FileReport, rate: number): boolean {
  return durationMs >= SHORTEST && Math.abs((lastOffset / rate) * 1000 - durationMs) <= FRAME_MS
}

function isPossible({ lastOffset, playbackMs, durationMs, elapsedMs }: FileReport, rate: number): boolean {
  const heardMs = (lastOffset / rate) * 1000
  const readMs = playbackMs > 0 ? playbackMs : Infinity
  return heardMs <= Math.min(durationMs, readMs, elapsedMs) + FRAME_MS
}
