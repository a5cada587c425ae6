import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import type { Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { LiveStream, type LiveStreamOptions } from '../../lib/audio/stream/LiveStream.js'
import type { AudioSink, StreamLimits } from '../../lib/audio/socket/types.js'
import type { AudioStream } from '../../lib/audio/stream/AudioStream.js'
import type { Call, Listen } from '../../lib/model/schema.js'

export interface PairOptions extends Partial<Pick<LiveStreamOptions, 'identify' | 'begin'>> {
  /**
   * false: the test sends the metadata frame itself, with `start()`; default: the frame was sent, and the
   * stream has begun
   */
  started?: boolean
  /** false: the url of the socket does not contain the listen's id */
  known?: boolean
  listen?: Partial<Listen>
  limits?: Partial<StreamLimits>
}

/** A stream of the plugin and jambonz' end of its socket, over real TCP. */
export interface StreamPair {
  /** undefined until the stream has begun */
  stream: AudioStream
  /** the same stream, with the methods that only the plugin uses */
  live: LiveStream
  /** jambonz' end */
  socket: WebSocket
  call: Call
  listen: Listen
  /** lines logged, as objects */
  log: Array<{ level: number; msg: string; [key: string]: unknown }>
  /** everything that the plugin sent to jambonz, in order: commands as parsed JSON, audio as buffers */
  sent: Array<Record<string, unknown> | Buffer>
  /** sends the metadata frame; may be called once */
  start(extra?: Record<string, unknown>): void
}

export function callOf(fields: Partial<Call> = {}): Call {
  const now = new Date().toISOString()
  return { callSid: 'call-1', data: {}, listens: [], createdAt: now, updatedAt: now, ...fields }
}

export function listenOf(fields: Partial<Listen> = {}): Listen {
  const mixType = fields.mixType ?? 'mono'
  return {
    id: 'listen-1',
    callSid: 'call-1',
    path: '/audio',
    state: 'expected',
    connected: false,
    mixType,
    sampleRate: 8000,
    channels: mixType === 'stereo' ? 2 : 1,
    createdAt: new Date().toISOString(),
    audio: { frames: 0, bytes: 0, durationMs: 0, gapMs: 0, maxGapMs: 0 },
    ...fields
  }
}

/**
 * Opens a socket as mod_audio_fork does, and makes a stream of it. Both are closed at the end of the test.
 */
export async function streamPair(t: Test, options: PairOptions = {}): Promise<StreamPair> {
  const call = callOf()
  const listen = listenOf(options.listen)
  const log: StreamPair['log'] = []
  const { log: logger } = Fastify({
    logger: {
      level: 'debug',
      stream: {
        write: (line: string) => {
          log.push(JSON.parse(line))
        }
      }
    }
  })
  const limits: StreamLimits = {
    maxPayload: 2_097_152,
    metadataTimeout: 5_000,
    heartbeat: 0,
    maxBuffered: 2_097_152,
    fastReader: process.env.FAST_READER !== 'off',
    ...options.limits
  }
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    maxPayload: limits.maxPayload,
    skipUTF8Validation: true
  })
  await once(server, 'listening')
  let live: LiveStream | undefined
  server.on('connection', (socket) => {
    live = new LiveStream({
      socket,
      ...(options.known !== false && { call, listen }),
      identify: options.identify,
      begin: options.begin ?? (() => {}),
      limits,
      logger
    })
  })
  const { port } = server.address() as AddressInfo
  const socket = new WebSocket(`ws://127.0.0.1:${port}/audio`, 'audio.jambonz.org', {
    perMessageDeflate: false
  })
  const sent: StreamPair['sent'] = []
  socket.on('message', (data, isBinary) => {
    sent.push(isBinary ? (data as Buffer) : JSON.parse(String(data)))
  })
  await Promise.all([once(socket, 'open'), once(server, 'connection')])
  if (live === undefined) throw new Error('no stream')
  const begun = live
  t.teardown(() => {
    socket.terminate()
    server.close()
    for (const client of server.clients) client.terminate()
  })
  let isStarted = false
  const start = (extra: Record<string, unknown> = {}) => {
    if (isStarted) return
    isStarted = true
    socket.send(
      JSON.stringify({
        sampleRate: listen.sampleRate,
        mixType: listen.mixType,
        callSid: listen.callSid,
        ...extra
      })
    )
  }
  if (options.started ?? true) {
    start()
    await until(() => begun.stream !== undefined)
  }
  return {
    stream: begun.stream as AudioStream,
    live: begun,
    socket,
    call,
    listen,
    log,
    sent,
    start
  }
}

/** A sink that copies each frame that it receives. */
export class Collector implements AudioSink {
  readonly frames: Buffer[] = []
  readonly gaps: number[] = []

  get audio(): Buffer {
    return Buffer.concat(this.frames)
  }

  write(frame: Buffer, gapMs: number): void {
    this.frames.push(Buffer.from(frame))
    this.gaps.push(gapMs)
  }
}

/** Polls until `condition` returns true. Throws after `timeout` ms. */
export async function until(condition: () => boolean, timeout = 120_000): Promise<void> {
  const deadline = performance.now() + timeout
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not so within ${timeout} ms: ${condition.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** Opens a stream with a sink in place of the recorder. Resolves when the stream has begun. */
export async function streamWithSink(
  t: Test,
  { begin, ...options }: PairOptions = {}
): Promise<StreamPair & { sink: Collector }> {
  const sink = new Collector()
  const pair = await streamPair(t, {
    ...options,
    begin(live, stream) {
      live.addSink(sink, { live: false })
      begin?.(live, stream)
    }
  })
  return { ...pair, sink }
}
