import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import { liveOf, type AudioStream } from '../audio/stream/AudioStream.js'
import type { Jambonz } from '../Jambonz.js'
import { isCurrent, monitored, type LevelsMessage, type StreamLevels, type WatchMessage } from './messages.js'
import { CLOSE, closeSocket } from '../audio/socket/SocketEnd.js'
import { HIGHEST, LOWEST, SAMPLE_BYTES } from '../pcm/samples.js'
import { channelsWithOutput } from '../recording/OutputMixer.js'
import { wallClock } from '../model/time.js'

/** ms between two messages with levels; IDLE times as long while there is no stream */
const TICK = 50
const IDLE = 20
/**
 * Minimum ms between two reads of the store, which is polled, since it does not report changes of other
 * instances. After a slow read, the next read follows after POLL_PER_MS times the duration of the slow read.
 */
const POLL = 200
const POLL_PER_MS = 9

/**
 * The feed of calls, and of the levels of this instance's streams, to pages. It does nothing while there is no page.
 */
export class Feed {
  readonly #jambonz: Jambonz
  readonly #logger: FastifyBaseLogger
  readonly #pages = new Set<Page>()
  readonly #meters = new Map<string, Meter>()
  /** the calls by callSid, as JSON, at the last read of the store */
  readonly #calls = new Map<string, string>()
  /** the other fields of a state message, as JSON; empty before the first read of the store */
  #head = ''
  #timer?: NodeJS.Timeout
  #ticks = 0
  /** time of the next read of the store, ms of performance.now() */
  #nextLook = 0

  constructor(jambonz: Jambonz, logger: FastifyBaseLogger) {
    this.#jambonz = jambonz
    this.#logger = logger
  }

  /** Measures the levels of a stream until its end, at times when a page wants them. */
  watch(stream: AudioStream): void {
    const { id } = stream.listen
    const meter = new Meter(stream)
    this.#meters.set(id, meter)
    meter.run(this.#isWatched(id))
    stream.done.finally(() => this.#meters.delete(id))
  }

  /** Sends calls and levels to a page until its socket closes. */
  add(socket: WebSocket): void {
    const page = new Page(socket, { onWatch: () => this.#runMeters(), onClose: () => this.#remove(page) })
    for (const callSid of this.#calls.keys()) page.changed(callSid)
    this.#pages.add(page)
    this.#runMeters()
    if (this.#timer === undefined) this.#timer = setInterval(() => this.#tick(), TICK)
    else if (this.#head !== '') page.tellState(this.#head, this.#calls)
  }

  #remove(page: Page): void {
    this.#pages.delete(page)
    this.#runMeters()
    if (this.#pages.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#nextLook = 0
    this.#head = ''
    this.#calls.clear()
  }

  #isWatched(listenId: string): boolean {
    for (const page of this.#pages) if (page.watches(listenId)) return true
    return false
  }

  #runMeters(): void {
    for (const [id, meter] of this.#meters) meter.run(this.#isWatched(id))
  }

  #tick(): void {
    const levels = new Map(Array.from(this.#meters, ([id, meter]) => [id, meter.isRunning && meter.read()]))
    const now = wallClock()
    const isSignOfLife = this.#ticks++ % IDLE === 0
    for (const page of this.#pages) {
      page.tellLevels(levels, now, isSignOfLife)
      if (this.#head !== '') page.tellState(this.#head, this.#calls)
    }
    if (performance.now() >= this.#nextLook) {
      this.#look().catch((err: unknown) => this.#logger.warn({ err }, 'the monitor could not read the calls'))
    }
  }

  /** Reads the calls from the store, and notes the changed calls for each page. */
  async #look(): Promise<void> {
    const { calls, instance, draining } = this.#jambonz
    const began = performance.now()
    this.#nextLook = Infinity
    try {
      const current = (await calls.list()).map(monitored).filter(isCurrent)
      // The last page has closed meanwhile, so the calls are not needed.
      if (this.#timer === undefined) return
      const gone = new Set(this.#calls.keys())
      for (const call of current) {
        gone.delete(call.callSid)
        this.#note(call.callSid, JSON.stringify(call))
      }
      for (const callSid of gone) this.#note(callSid, undefined)
      this.#head = JSON.stringify({ type: 'state', instance, draining, store: calls.health() }).slice(0, -1)
    } finally {
      this.#nextLook = performance.now() + Math.max(POLL, POLL_PER_MS * (performance.now() - began))
    }
  }

  #note(callSid: string, text: string | undefined): void {
    if (this.#calls.get(callSid) === text) return
    if (text === undefined) this.#calls.delete(callSid)
    else this.#calls.set(callSid, text)
    for (const page of this.#pages) page.changed(callSid)
  }
}

/**
 * bytes that may wait for a page on a slow line. While more bytes wait, the page gets no messages; after that, it gets
 * the present state.
 */
const SLOW = 65_536
/** ms after which the socket is closed if none of the waiting bytes was sent; the page then reconnects */
const STUCK = 10_000
/** maximum characters of a message with calls; the next message has the remaining calls */
const MAX_MESSAGE = 4_194_304
/** limits of a message of a page: characters, and number of listens */
const MAX_WATCH = 65_536
const MAX_WATCHED = 500

export interface PageEvents {
  onWatch(): void
  onClose(): void
}

/** A page of the monitor, and the changes that it has not got yet. */
export class Page {
  readonly #socket: WebSocket
  /** callSids of calls that have changed or were removed since the last message */
  readonly #news = new Set<string>()
  #head = ''
  /** the ids of the listens whose levels the page wants; undefined if it wants all levels */
  #watched?: Set<string>
  #waiting = 0
  #movedAt = performance.now()

  constructor(socket: WebSocket, { onWatch, onClose }: PageEvents) {
    this.#socket = socket
    socket.on('error', () => socket.terminate())
    socket.on('close', onClose)
    socket.on('message', (data: Buffer) => {
      const message = data.length <= MAX_WATCH ? parseWatch(data.toString()) : undefined
      if (message === undefined) {
        return closeSocket(
          socket,
          CLOSE.badStart,
          `expected {"watch":[…]}, ${MAX_WATCHED} ids of listens at most`
        )
      }
      this.#watched = new Set(message.watch)
      onWatch()
    })
  }

  watches(listenId: string): boolean {
    return this.#watched === undefined || this.#watched.has(listenId)
  }

  changed(callSid: string): void {
    this.#news.add(callSid)
  }

  /** Sends the changes since the last message. `head`: a state message without its calls and its last brace. */
  tellState(head: string, calls: ReadonlyMap<string, string>): void {
    if ((this.#news.size === 0 && head === this.#head) || !this.#hasRoom()) return
    const texts: string[] = []
    const gone: string[] = []
    let length = 0
    for (const callSid of this.#news) {
      if (length > MAX_MESSAGE) break
      this.#news.delete(callSid)
      const text = calls.get(callSid)
      if (text === undefined) gone.push(callSid)
      else texts.push(text)
      length += text?.length ?? 0
    }
    this.#head = head
    this.#socket.send(`${head},"calls":[${texts.join()}],"gone":${JSON.stringify(gone)}}`)
  }

  /**
   * Sends the levels of the listens that the page watches. `isSignOfLife`: true if the message is sent even
   * without levels.
   */
  tellLevels(levels: ReadonlyMap<string, StreamLevels | false>, now: number, isSignOfLife: boolean): void {
    const streams: Record<string, StreamLevels> = {}
    let isEmpty = true
    for (const [id, level] of levels) {
      if (level === false || !this.watches(id)) continue
      streams[id] = level
      isEmpty = false
    }
    if ((isEmpty && !isSignOfLife) || !this.#hasRoom()) return
    this.#socket.send(JSON.stringify({ type: 'levels', now, streams } satisfies LevelsMessage))
  }

  /**
   * Returns true if a message may be sent. Closes the socket if none of the waiting bytes was sent for STUCK
   * ms.
   */
  #hasRoom(): boolean {
    const { bufferedAmount } = this.#socket
    if (bufferedAmount === 0 || bufferedAmount < this.#waiting) this.#movedAt = performance.now()
    else if (performance.now() - this.#movedAt > STUCK) this.#socket.terminate()
    this.#waiting = bufferedAmount
    return bufferedAmount <= SLOW
  }
}

function parseWatch(text: string): WatchMessage | undefined {
  try {
    const { watch } = JSON.parse(text) as { watch?: unknown }
    const isRight =
      Array.isArray(watch) && watch.length <= MAX_WATCHED && watch.every((id) => typeof id === 'string')
    return isRight ? { watch: watch as string[] } : undefined
  } catch {
    return undefined
  }
}

/** A meter of a stream's peaks since it was last read. */
export class Meter {
  readonly #stream: AudioStream
  /** lowest and highest sample of each channel */
  readonly #lows: Int16Array
  readonly #highs: Int16Array
  #running = false

  constructor(stream: AudioStream) {
    this.#stream = stream
    this.#lows = new Int16Array(channelsWithOutput(stream))
    this.#highs = new Int16Array(channelsWithOutput(stream))
  }

  get isRunning(): boolean {
    return this.#running
  }

  /** Starts or stops the meter. While it is stopped, the stream can be read in batches, which costs less CPU. */
  run(running: boolean): void {
    if (running === this.#running) return
    this.#running = running
    if (running) this.#stream.on('audio', this.#hear)
    else this.#stream.off('audio', this.#hear)
  }

  read(): StreamLevels {
    const { recording, isPrivate, counts, sentMs, playedMs } = this.#stream
    const peaks = Array.from(this.#lows, (low, channel): [number, number] => [
      low >> 8,
      this.#highs[channel]! >> 8
    ])
    this.#lows.fill(0)
    this.#highs.fill(0)
    return {
      recording: recording?.state,
      isPrivate,
      isSpokenTo: playedMs < sentMs,
      gapMs: counts.gapMs,
      peaks
    }
  }

  // Measures one frame. Runs for every frame, so it must be cheap.
  readonly #hear = (frame: Buffer): void => {
    const { channels } = this.#stream
    const heard = liveOf(this.#stream).heardIn(frame)
    const last = this.#lows.length - 1
    for (let at = 0; at < frame.length; at += SAMPLE_BYTES) {
      const index = at / SAMPLE_BYTES
      const channel = index % channels
      const sample = frame.readInt16LE(at)
      this.#measure(
        channel === last ? sample + (heard?.[(index - channel) / channels] ?? 0) : sample,
        channel
      )
    }
    if (heard && last === channels) for (const sample of heard) this.#measure(sample, last)
  }

  #measure(sample: number, channel: number): void {
    if (sample < this.#lows[channel]!) this.#lows[channel] = Math.max(sample, LOWEST)
    else if (sample > this.#highs[channel]!) this.#highs[channel] = Math.min(sample, HIGHEST)
  }
}
