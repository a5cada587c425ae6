import type { Test } from 'tap'
import type { WebSocket } from 'ws'
import { samplesOf } from '../../lib/pcm/samples.js'
import { Player } from '../../lib/simulator/media/player.js'
import { streamPair, until } from './streamPair.js'

const TICK = 20
const CALL_RATE = 8000
const MAX_QUEUE = 11

interface PlayAudio {
  audioContentType: string
  sampleRate: number
  audioContent: string
  id?: string
  queuePlay?: boolean
}

/**
 * The caller of a listen in file mode. In real time, it does with playAudio and killAudio what
 * feature-server's lib/tasks/listen.js does, including its queue of 11 files and its nested plays.
 */
export class FileCaller {
  readonly received: PlayAudio[] = []
  readonly commands: string[] = []
  heard: number[] = []
  /** maximum number of files that waited in jambonz' queue at the same time */
  longestQueue = 0
  readonly #player = new Player()
  readonly #socket: WebSocket
  #queue: PlayAudio[] = []
  #playsQueue = false

  constructor(t: Test, socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data) => {
      const { type, data: detail } = JSON.parse(String(data)) as { type: string; data: PlayAudio }
      this.commands.push(type)
      if (type === 'killAudio') this.#player.stop()
      else if (type === 'playAudio') this.#playAudio(detail)
    })
    const timer = setInterval(() => {
      const frame = new Int16Array((CALL_RATE * TICK) / 1000)
      this.#player.render(frame)
      this.heard.push(...frame)
    }, TICK)
    t.teardown(() => clearInterval(timer))
  }

  #playAudio(audio: PlayAudio): void {
    this.received.push(audio)
    if (!audio.queuePlay) {
      this.#queue = []
      this.#play(audio)
      this.#playsQueue = false
      return
    }
    if (this.#queue.length < MAX_QUEUE) this.#queue.push(audio)
    this.longestQueue = Math.max(this.longestQueue, this.#queue.length)
    if (!this.#playsQueue) this.#playAll()
  }

  async #playAll(): Promise<void> {
    this.#playsQueue = true
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      await this.#play(next)
    }
    this.#playsQueue = false
  }

  async #play({ audioContent, sampleRate, id }: PlayAudio): Promise<void> {
    const samples = samplesOf(Buffer.from(audioContent, 'base64')).filter(
      (_, i) => i % (sampleRate / CALL_RATE) === 0
    )
    const { samples: played } = await this.#player.play(samples)
    this.#socket.send(
      JSON.stringify({
        type: 'playDone',
        data: {
          id,
          playbackSeconds: '0',
          playbackMilliseconds: `${played / 8}`,
          playbackLastOffsetPos: `${played}`
        }
      })
    )
  }
}

/** Opens a stream in file mode. Resolves to the stream and a FileCaller that plays its files. */
export async function playing(t: Test) {
  const pair = await streamPair(t, { listen: { bidirectional: { mode: 'file', sampleRate: 8000 } } })
  const caller = new FileCaller(t, pair.socket)
  pair.start()
  await until(() => pair.stream.metadata !== undefined)
  return { ...pair, caller }
}
