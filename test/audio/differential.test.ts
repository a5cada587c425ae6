import { Duplex } from 'node:stream'
import t from 'tap'
import { WebSocket } from 'ws'
import { fastParser } from '../helpers/fastParser.js'

// Compares the fast reader with plain ws. Both get the same random frames, cut at random places, and must
// deliver the same events and send the same answers.

/** number of streams; test/soak/differential.test.ts sets it higher */
const STREAMS = Number(process.env.STREAMS ?? 12_000)
const AT_ONCE = 250
const MAX_PAYLOAD = 66_000
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
/** seeds whose streams were once read in another way than ws does: a header was cut between its length and its mask */
const DIFFERED = [160_687]

/** Returns a generator of random numbers (mulberry32). The same seed gives the same numbers. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

type Random = () => number
const upTo = (random: Random, most: number) => Math.floor(random() * (most + 1))
const oneOf = <T>(random: Random, list: readonly T[]): T => list[upTo(random, list.length - 1)] as T

function frameOf(random: Random, first: number, body: Buffer, isMasked = true): Buffer {
  const { length } = body
  // Sometimes the length is encoded in more bytes than needed, which is valid too.
  const long = random() < 0.02
  const extra = length < 126 && !long ? 0 : length < 65_536 ? 2 : 8
  const head = Buffer.alloc(2 + extra)
  head[0] = first
  head[1] = (isMasked ? 0x80 : 0) | (extra === 0 ? length : extra === 2 ? 126 : 127)
  if (extra === 2) head.writeUInt16BE(length, 2)
  if (extra === 8) head.writeBigUInt64BE(BigInt(length), 2)
  if (!isMasked) return Buffer.concat([head, body])
  const mask = Buffer.from([0, 1, 2, 3].map(() => upTo(random, 255)))
  const masked = Buffer.from(body)
  for (let at = 0; at < masked.length; at++) masked[at]! ^= mask[at & 3]!
  return Buffer.concat([head, mask, masked])
}

const [FINAL, CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0x80, 0, 1, 2, 8, 9, 10]

function bodyOf(random: Random): Buffer {
  const size = oneOf(random, [0, 1, 2, 3, 125, 126, 320, 320, 320, 640, upTo(random, 900)])
  return Buffer.alloc(size, upTo(random, 255))
}

const FRAMES: ReadonlyArray<(random: Random) => Buffer> = [
  (random) => frameOf(random, FINAL | BINARY, bodyOf(random)),
  (random) => frameOf(random, FINAL | BINARY, bodyOf(random)),
  (random) => frameOf(random, FINAL | BINARY, bodyOf(random)),
  (random) => frameOf(random, FINAL | TEXT, Buffer.from(`{"n":${upTo(random, 1_000)}}`)),
  (random) => frameOf(random, FINAL | oneOf(random, [PING, PONG]), bodyOf(random).subarray(0, 125)),
  (random) =>
    Buffer.concat([
      frameOf(random, oneOf(random, [TEXT, BINARY]), bodyOf(random)),
      ...(random() < 0.3 ? [frameOf(random, FINAL | PING, Buffer.from('now'))] : []),
      ...(random() < 0.3 ? [frameOf(random, CONTINUATION, bodyOf(random))] : []),
      frameOf(random, FINAL | CONTINUATION, bodyOf(random))
    ])
]

const RARE: ReadonlyArray<(random: Random) => Buffer> = [
  (random) => frameOf(random, FINAL | BINARY, Buffer.alloc(65_536, 7)),
  (random) => frameOf(random, FINAL | BINARY, Buffer.alloc(MAX_PAYLOAD + upTo(random, 2), 7)),
  (random) => frameOf(random, FINAL | BINARY, bodyOf(random), false),
  (random) => frameOf(random, FINAL | oneOf(random, [0x10, 0x20, 0x40]) | BINARY, bodyOf(random)),
  (random) => frameOf(random, FINAL | oneOf(random, [3, 5, 7, 11, 15]), bodyOf(random)),
  (random) => frameOf(random, FINAL | CONTINUATION, bodyOf(random)),
  (random) => frameOf(random, BINARY, bodyOf(random)),
  (random) => frameOf(random, oneOf(random, [PING, FINAL | PING]), Buffer.alloc(oneOf(random, [3, 126]))),
  (random) =>
    frameOf(
      random,
      FINAL | CLOSE,
      oneOf(
        random,
        [[], [3], [3, 232], [3, 237], [15, 161, 97]].map((bytes) => Buffer.from(bytes))
      )
    ),
  () => Buffer.from([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
  (random) => Buffer.from([0, 1, 2, 3, 4, 5].map(() => upTo(random, 255)))
]

/** Returns a random stream of frames, cut into pieces as TCP may deliver them. */
function piecesOf(random: Random): Buffer[] {
  const frames = Array.from({ length: 1 + upTo(random, 7) }, () =>
    oneOf(random, random() < 0.06 ? RARE : FRAMES)(random)
  )
  const bytes = Buffer.concat(frames)
  const pieces: Buffer[] = []
  const mean = oneOf(random, [1, 3, 40, 700, 2_000, 70_000])
  const few = bytes.length / mean > 400 ? bytes.length / 400 : mean
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + upTo(random, 2 * few)
    pieces.push(Buffer.from(bytes.subarray(at, end)))
    at = end
  }
  return pieces
}

/** the options that the server in ws passes to its sockets */
const SERVER: object = { autoPong: true, closeTimeout: 30_000 }
// Thousands of streams end with an error. Without stack traces, these errors take less time.
Error.stackTraceLimit = 0

/** The server's end of a websocket, without a network. `answered` contains the bytes that the end writes. */
class Peer {
  readonly told: Array<Array<string | number | undefined>> = []
  readonly answered: Buffer[] = []
  readonly socket: WebSocket
  readonly raw: Duplex
  #audio: Buffer[] = []

  constructor() {
    this.raw = new Duplex({
      read() {},
      write: (chunk: Buffer, _encoding, done) => {
        this.answered.push(chunk)
        done()
      }
    })
    // This sets up the socket as the server in ws does after an upgrade.
    const socket = new WebSocket(null as unknown as string, undefined, SERVER)
    const { setSocket } = socket as unknown as {
      setSocket: (raw: Duplex, head: Buffer, options: object) => void
    }
    setSocket.call(socket, this.raw, Buffer.alloc(0), {
      allowSynchronousEvents: true,
      maxPayload: MAX_PAYLOAD,
      skipUTF8Validation: true
    })
    this.socket = socket
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) this.audio(data)
      else this.tell(['text', data.toString('latin1')])
    })
    socket.on('ping', (data) => this.tell(['ping', data.toString('hex')]))
    socket.on('pong', (data) => this.tell(['pong', data.toString('hex')]))
    socket.on('error', (err) => this.tell(['error', (err as NodeJS.ErrnoException).code]))
    socket.on('close', (code, reason) => this.tell(['close', code, reason.toString()]))
  }

  audio(data: Buffer): void {
    this.#audio.push(Buffer.from(data))
  }

  tell(what: Array<string | number | undefined>): void {
    this.flush()
    this.told.push(what)
  }

  /**
   * Joins all audio between two other events into one event, because a merged batch delivers the audio in
   * other parts.
   */
  flush(): void {
    if (this.#audio.length > 0) this.told.push(['audio', Buffer.concat(this.#audio).toString('latin1')])
    this.#audio = []
  }
}

/**
 * Memory that the parsers of all streams read from. In the plugin, the fast reader shares such memory between
 * sockets.
 */
const SHARED = Buffer.allocUnsafeSlow(262_144)
const SHARED_VIEW = new DataView(SHARED.buffer)
type Way = 'as the socket delivers' | 'from shared memory' | 'from shared memory, merged'

function feed(peer: Peer, pieces: Buffer[], way: Way | undefined): void {
  const parser =
    way === undefined
      ? undefined
      : fastParser(peer.socket, MAX_PAYLOAD, (audio, messages) => {
          if (messages < 1) throw new Error('no message')
          peer.audio(audio)
        })
  if (way !== undefined && parser === undefined) throw new Error('no fast reader for this ws')
  if (parser && way === 'from shared memory, merged') parser.merging = true
  for (const piece of pieces) {
    if (parser === undefined || way === 'as the socket delivers') peer.raw.push(Buffer.from(piece))
    else {
      piece.copy(SHARED)
      parser.read(SHARED, SHARED_VIEW, piece.length, true)
      SHARED.fill(0xee, 0, piece.length)
    }
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

t.test(
  `the fast reader reads ${STREAMS} random streams as plain ws does (SEED=${SEED})`,
  { timeout: 240_000 },
  async (t) => {
    const ways: Way[] = ['as the socket delivers', 'from shared memory', 'from shared memory, merged']
    const ended = new Map<string, number>()
    let audioBytes = 0
    const seeds = [...DIFFERED, ...Array.from({ length: STREAMS }, (_, i) => SEED + i)]
    for (let from = 0; from < seeds.length; from += AT_ONCE) {
      const streams = seeds.slice(from, from + AT_ONCE).map((seed) => {
        const way = ways[seed % ways.length] as Way
        const pieces = piecesOf(randomOf(seed))
        const [plain, fast] = [new Peer(), new Peer()]
        feed(plain, pieces, undefined)
        feed(fast, pieces, way)
        return { seed, way, plain, fast }
      })
      for (let turns = 0; turns < 4; turns++) await turn()
      for (const { plain, fast } of streams) {
        plain.raw.push(null)
        fast.raw.push(null)
      }
      for (let turns = 0; turns < 4; turns++) await turn()
      for (const { seed, way, plain, fast } of streams) {
        plain.flush()
        fast.flush()
        const [expected, got] = [plain, fast].map(({ told, answered }) =>
          [...told.map((each) => each.join('\0')), Buffer.concat(answered).toString('latin1')].join('\n')
        )
        if (expected !== got) t.same(fast.told, plain.told, `seed ${seed}, ${way}`)
        if (expected !== got) return t.fail(`seed ${seed}, ${way}: the events or answers differ`)
        for (const each of plain.told) {
          if (each[0] === 'audio') audioBytes += String(each[1]).length
          if (each[0] === 'close' || each[0] === 'error') {
            ended.set(String(each[1]), (ended.get(String(each[1])) ?? 0) + 1)
          }
        }
        plain.socket.terminate()
        fast.socket.terminate()
      }
    }
    t.ok(audioBytes > STREAMS * 300, `${audioBytes} bytes of audio`)
    for (const code of [
      '1000',
      '1006',
      'WS_ERR_EXPECTED_MASK',
      'WS_ERR_INVALID_OPCODE',
      'WS_ERR_UNEXPECTED_RSV_1',
      'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'
    ]) {
      t.ok((ended.get(code) ?? 0) > 20, `${ended.get(code)} streams ended with ${code}`)
    }
    t.comment(Object.fromEntries(ended))
  }
)
