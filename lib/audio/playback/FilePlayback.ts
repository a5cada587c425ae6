import type { FastifyBaseLogger } from 'fastify'
import { ERR_AUDIO_FILE } from '../../model/errors.js'
import { writeCommand } from '../socket/messages.js'
import { resample } from '../../pcm/Resampler.js'
import { bytesOf, samplesOf } from '../../pcm/samples.js'
import type { PlayDone } from '../socket/types.js'
import { isWav, readWav } from '../../pcm/readWav.js'

/** Raw rates that every FreeSWITCH reads as they are meant, Hz; it takes .r24 for 24 bits. */
const SAFE_RATES = [8000, 16_000]
/** Files that jambonz has at a time: one that is played, one that follows without a pause. It holds 11 at most. */
const MAX_OUTSTANDING = 2
/** bytes of one file: 8 minutes at 16 kHz */
const MAX_FILE = 15_728_640
/** ms over a file's length after which jambonz must have reported its end */
const GRACE = 10_000
/** ms that jambonz has to stop a file */
const STOP_DEADLINE = 1_000
/** Ids that survive the module, which cuts a message at an apostrophe. */
const SAFE_ID = /^[\w .:@+#-]{1,64}$/

export interface PlayOptions {
  /** comes back in the `playDone` event. Default: one of ours */
  id?: string
  /** after what is being played, in place of it. Default false */
  queue?: boolean
  /** Hz of raw L16 audio; a WAV says it itself. Default: the verb's */
  sampleRate?: number
}

interface Item {
  id: string
  wireId: string
  queue: boolean
  pcm: Buffer
  sampleRate: number
  stopped: boolean
  timer?: NodeJS.Timeout
  settle: (done: PlayDone) => void
}

/** Files on their way to the caller, in file mode: one after the other, each with one `playDone`. */
export class FilePlayback {
  readonly #send: (command: string) => void
  readonly #onDone: (done: PlayDone) => void
  readonly #logger: FastifyBaseLogger
  #waiting: Item[] = []
  #outstanding: Item[] = []
  #count = 0
  #ended = false

  constructor(send: (command: string) => void, onDone: (done: PlayDone) => void, logger: FastifyBaseLogger) {
    this.#send = send
    this.#onDone = onDone
    this.#logger = logger
  }

  /** Raises FST_JAMBONZ_AUDIO_FILE for what can't be played. */
  play(audio: Uint8Array, rate: number, { id, queue = false }: PlayOptions): Promise<PlayDone> {
    const sound = toPlayable(audio, rate)
    const wireId = id !== undefined && SAFE_ID.test(id) && !this.#knows(id) ? id : `play~${++this.#count}`
    return new Promise((resolve) => {
      const item: Item = { id: id ?? wireId, wireId, queue, ...sound, stopped: false, settle: resolve }
      if (this.#ended) return this.#settle(item, 0, 0, true)
      // jambonz would play the new file within the old one and go on with that afterwards.
      if (!queue) this.clear()
      this.#waiting.push(item)
      this.#pump()
    })
  }

  /** Stops what is played, and drops what waits. */
  clear(): void {
    const dropped = this.#waiting
    this.#waiting = []
    for (const item of dropped) this.#settle(item, 0, 0, true)
    if (this.#outstanding.length > 0 && !this.#stopping) this.#stop()
  }

  /** A playDone of jambonz. */
  reported(wireId: unknown, playbackMs: number, lastOffset: number): void {
    const item =
      wireId === undefined ? this.#outstanding[0] : this.#outstanding.find((other) => other.wireId === wireId)
    if (item === undefined) return
    this.#outstanding = this.#outstanding.filter((other) => other !== item)
    this.#settle(item, playbackMs, lastOffset, item.stopped)
    // jambonz goes on with its next file after a kill.
    if (item.stopped && this.#outstanding.length > 0) this.#stop()
    this.#pump()
  }

  /** The socket is gone. */
  end(): void {
    this.#ended = true
    const all = [...this.#outstanding, ...this.#waiting]
    this.#outstanding = []
    this.#waiting = []
    for (const item of all) this.#settle(item, 0, 0, true)
  }

  get #stopping(): boolean {
    return this.#outstanding.some(({ stopped }) => stopped)
  }

  #knows(id: string): boolean {
    return [...this.#outstanding, ...this.#waiting].some(({ wireId }) => wireId === id)
  }

  #stop(): void {
    this.#send(writeCommand({ type: 'killAudio' }))
    for (const item of this.#outstanding) {
      item.stopped = true
      this.#expect(item, STOP_DEADLINE)
    }
  }

  #pump(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#hasRoomFor(next); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#outstanding.push(next)
      const { wireId, queue, pcm, sampleRate } = next
      this.#send(
        writeCommand({
          type: 'playAudio',
          data: {
            audioContentType: 'raw',
            sampleRate,
            audioContent: pcm.toString('base64'),
            id: wireId,
            queuePlay: queue
          }
        })
      )
      this.#expect(
        next,
        this.#outstanding.reduce((sum, item) => sum + (item.pcm.length / 2 / item.sampleRate) * 1000, GRACE)
      )
    }
  }

  // Only what was queued can be followed by something: the rest is not in jambonz' queue.
  #hasRoomFor(item: Item): boolean {
    if (this.#outstanding.length === 0) return true
    return (
      item.queue &&
      this.#outstanding.length < MAX_OUTSTANDING &&
      this.#outstanding.every(({ queue, stopped }) => queue && !stopped)
    )
  }

  #expect(item: Item, ms: number): void {
    clearTimeout(item.timer)
    item.timer = setTimeout(() => {
      this.#logger.warn(`jambonz did not report the end of "${item.id}"`)
      this.reported(item.wireId, 0, 0)
    }, ms)
  }

  #settle(item: Item, playbackMs: number, lastOffset: number, cleared: boolean): void {
    clearTimeout(item.timer)
    const done: PlayDone = { id: item.id, playbackMs, lastOffset, event: cleared ? 'cleared' : 'playout' }
    item.settle(done)
    this.#onDone(done)
  }
}

/** Beginnings of what is no WAV and no L16, and what it is; `at`: bytes before it. */
const SIGNATURES: ReadonlyArray<{ bytes: string; at: number; is: string }> = [
  { bytes: 'ID3', at: 0, is: 'MP3' },
  { bytes: 'OggS', at: 0, is: 'Ogg' },
  { bytes: 'fLaC', at: 0, is: 'FLAC' },
  { bytes: 'ftyp', at: 4, is: 'MP4 or M4A' },
  { bytes: 'FORM', at: 0, is: 'AIFF' },
  { bytes: '.snd', at: 0, is: 'AU' },
  { bytes: '<!DOCTYPE', at: 0, is: 'an HTML page' },
  { bytes: '<html', at: 0, is: 'an HTML page' },
  { bytes: '{"', at: 0, is: 'JSON' },
  { bytes: 'UklGR', at: 0, is: 'the base64 text of a WAV' }
]

// As L16 it would be noise.
function refuseOthers(audio: Uint8Array): void {
  const head = Buffer.from(audio.subarray(0, 16)).toString('latin1')
  const found = SIGNATURES.find(({ bytes, at }) => head.startsWith(bytes, at))
  if (found === undefined) return
  throw new ERR_AUDIO_FILE(
    `it is ${found.is}; pass a WAV or raw L16: ask the speech service for it, or convert it (ffmpeg -i in -ac 1 -ar 16000 out.wav)`
  )
}

function toPlayable(audio: Uint8Array, rate: number): { pcm: Buffer; sampleRate: number } {
  if (!(audio instanceof Uint8Array)) {
    throw new ERR_AUDIO_FILE(`it is a ${typeof audio}; pass its bytes, as readFile() gives them`)
  }
  if (audio.length > MAX_FILE) {
    throw new ERR_AUDIO_FILE(
      `${audio.length} bytes are more than the ${MAX_FILE} of one file; play it in parts with queue: true`
    )
  }
  refuseOthers(audio)
  const { samples, sampleRate } = isWav(audio)
    ? readWav(audio)
    : { samples: samplesOf(Buffer.from(audio.buffer, audio.byteOffset, audio.byteLength)), sampleRate: rate }
  if (samples.length === 0) throw new ERR_AUDIO_FILE('there are no samples in it')
  if (SAFE_RATES.includes(sampleRate)) return { pcm: bytesOf(samples), sampleRate }
  const target = sampleRate > 8000 ? 16_000 : 8000
  return { pcm: bytesOf(resample(samples, sampleRate, target)), sampleRate: target }
}
