import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { Writable } from 'node:stream'
import { test } from 'tap'
import type { Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import type { FrameParser } from '../../lib/audio/socket/frames/FrameParser.js'
import { fastParser } from '../helpers/fastParser.js'

const MAX_PAYLOAD = 100_000

interface FrameOptions {
  opcode: number
  final?: boolean
  masked?: boolean
  reserved?: number
}

function frame(body: Buffer, { opcode, final = true, masked = true, reserved = 0 }: FrameOptions): Buffer {
  const extra = body.length < 126 ? 0 : body.length < 65_536 ? 2 : 8
  const head = Buffer.alloc(2 + extra)
  head[0] = (final ? 0x80 : 0) | reserved | opcode
  head[1] = (masked ? 0x80 : 0) | (extra === 0 ? body.length : extra === 2 ? 126 : 127)
  if (extra === 2) head.writeUInt16BE(body.length, 2)
  if (extra === 8) head.writeBigUInt64BE(BigInt(body.length), 2)
  if (!masked) return Buffer.concat([head, body])
  const mask = Buffer.from([body.length & 0xff, 0x9c, 0x01, 0xf7])
  return Buffer.concat([head, mask, Buffer.from(body.map((byte, i) => byte ^ (mask[i % 4] ?? 0)))])
}

const binary = (body: Buffer, options: Partial<FrameOptions> = {}) => frame(body, { opcode: 2, ...options })
const text = (body: string, options: Partial<FrameOptions> = {}) =>
  frame(Buffer.from(body), { opcode: 1, ...options })

function audio(bytes: number, seed: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 31 + seed * 17) & 0xff))
}

/** Passes the pieces to the parser one by one, always in the same memory, and then overwrites the memory. */
function readInTurn(reader: FrameParser | undefined, pieces: readonly Buffer[]): void {
  const memory = Buffer.alloc(4_096)
  const view = new DataView(memory.buffer, memory.byteOffset, memory.length)
  for (const bytes of pieces) {
    bytes.copy(memory)
    reader?.read(memory, view, bytes.length, true)
  }
  memory.fill(0)
}

/**
 * Opens a websocket and returns the server's end with its events. A FrameParser reads it if `withReader`;
 * otherwise ws does.
 */
async function listening(t: Test, withReader: boolean, merging = false) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: MAX_PAYLOAD })
  t.teardown(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  await once(server, 'listening')
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    perMessageDeflate: false
  })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [WebSocket]
  const told: string[] = []
  const onAudio = (data: Buffer, messages: number) =>
    told.push(`audio ${messages} ${data.toString('base64')}`)
  const reader = withReader ? fastParser(socket, MAX_PAYLOAD, onAudio) : undefined
  if (reader) reader.merging = merging
  socket.on('message', (data: Buffer, isBinary) => {
    told.push(isBinary ? `audio 1 ${data.toString('base64')}` : `text ${data.toString()}`)
  })
  socket.on('ping', (data) => {
    told.push(`ping ${data.toString()}`)
  })
  socket.on('pong', (data) => {
    told.push(`pong ${data.toString()}`)
  })
  socket.on('error', (err) => {
    told.push(`error ${err.message}`)
  })
  socket.on('close', (code) => {
    told.push(`close ${code}`)
  })
  // The test writes to ws' receiver the bytes that ws would otherwise read from the socket.
  const { _receiver: receiver } = socket as unknown as { _receiver: Writable }
  return {
    socket,
    client,
    told,
    reader,
    receive: (bytes: Buffer) => {
      receiver.write(Buffer.from(bytes))
    }
  }
}

const MIXED = [
  text('{"callSid":"a"}'),
  binary(audio(320, 1)),
  binary(audio(320, 2)),
  binary(audio(1, 3)),
  binary(audio(0, 4)),
  binary(audio(125, 5)),
  frame(Buffer.from('are you there'), { opcode: 9 }),
  binary(audio(126, 6)),
  text('{"event":"dtmf"}'),
  binary(audio(322, 7), { final: false }),
  frame(Buffer.from('yes'), { opcode: 10 }),
  frame(audio(5, 8), { opcode: 0, final: false }),
  frame(audio(7, 9), { opcode: 0 }),
  binary(audio(640, 10)),
  text('half', { final: false }),
  frame(Buffer.from(' a text'), { opcode: 0 }),
  binary(audio(66_000, 11)),
  binary(audio(20, 12))
]

test('the FrameParser reads frames that are cut at any byte as ws does', async (t) => {
  const bytes = Buffer.concat(MIXED)
  const alone = await listening(t, false)
  alone.receive(bytes)
  const places = [...Array(1_700).keys()]
    .filter((place) => place < 60 || place % 5 === 0)
    .concat([bytes.length - 66_030, bytes.length - 30, bytes.length - 27, bytes.length - 1])
  const { told, receive } = await listening(t, true)
  const wrong = places.filter((place) => {
    told.length = 0
    receive(bytes.subarray(0, place))
    receive(bytes.subarray(place))
    return JSON.stringify(told) !== JSON.stringify(alone.told)
  })
  t.same(wrong, [], 'cut in two')
  told.length = 0
  for (const byte of bytes.subarray(0, 3_000)) receive(Buffer.from([byte]))
  receive(bytes.subarray(3_000))
  t.strictSame(told, alone.told, 'byte by byte')
})

test('audio messages that arrive together are delivered as one, and texts keep their place between them', async (t) => {
  const { told, receive } = await listening(t, true, true)
  receive(
    Buffer.concat([
      binary(audio(320, 1)),
      binary(audio(3, 2)),
      binary(audio(320, 3)),
      text('a'),
      binary(audio(2, 4)),
      text('b'),
      text('c'),
      binary(audio(320, 5)),
      binary(audio(320, 6))
    ])
  )
  t.strictSame(told, [
    `audio 3 ${Buffer.concat([audio(320, 1), audio(3, 2), audio(320, 3)]).toString('base64')}`,
    'text a',
    `audio 1 ${audio(2, 4).toString('base64')}`,
    'text b',
    'text c',
    `audio 2 ${Buffer.concat([audio(320, 5), audio(320, 6)]).toString('base64')}`
  ])
})

test('a text stays unchanged when the memory beside it is reused for audio', async (t) => {
  const { socket, told } = await listening(t, false)
  const heard: Array<{ data: Buffer; reused: boolean }> = []
  const texts: Buffer[] = []
  socket.on('message', (data: Buffer) => texts.push(data))
  const reader = fastParser(
    socket,
    MAX_PAYLOAD,
    (data, _messages, reused) => heard.push({ data: Buffer.from(data), reused }),
    () => false
  )
  readInTurn(
    reader,
    [1, 2].map((seed) => Buffer.concat([binary(audio(320, seed)), text(`text ${seed}`)]))
  )
  t.strictSame(
    heard,
    [1, 2].map((seed) => ({ data: audio(320, seed), reused: true }))
  )
  t.strictSame(texts.map(String), ['text 1', 'text 2'])
  t.equal(told.length, 2)
})

test('audio that a reader keeps is not changed by later reads', async (t) => {
  const { socket } = await listening(t, false)
  const heard: Array<{ data: Buffer; reused: boolean }> = []
  const reader = fastParser(
    socket,
    MAX_PAYLOAD,
    (data, _messages, reused) => heard.push({ data, reused }),
    () => true
  )
  // Some lengths are odd, and all messages together are longer than a slab of the parser.
  const lengths = Array.from({ length: 200 }, (_, i) => 300 + i)
  readInTurn(
    reader,
    lengths.map((length) => binary(audio(length, length)))
  )
  t.strictSame(
    heard,
    lengths.map((length) => ({ data: audio(length, length), reused: false }))
  )
  t.ok(heard.every(({ data }) => data.byteOffset % 2 === 0))
})

for (const [what, bytes] of Object.entries({
  'an unmasked frame': binary(audio(320, 1), { masked: false }),
  'reserved bits': binary(audio(320, 1), { reserved: 0x40 }),
  'a continuation without a first fragment': frame(audio(320, 1), { opcode: 0 }),
  'a message between the fragments of another': Buffer.concat([
    binary(audio(320, 1), { final: false }),
    binary(audio(320, 2))
  ]),
  'an unknown opcode': frame(audio(3, 1), { opcode: 5 }),
  'a message over maxPayload': binary(audio(MAX_PAYLOAD + 1, 1)),
  'a length above 2 ** 63': Buffer.from([
    0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4
  ]),
  'a close': frame(Buffer.from([0x03, 0xe8]), { opcode: 8 })
})) {
  test(`${what} ends the connection with the same events as in ws, and later frames are not delivered`, async (t) => {
    const whole = Buffer.concat([binary(audio(320, 7)), bytes, binary(audio(320, 8)), text('more')])
    const alone = await listening(t, false)
    const { told, receive, socket } = await listening(t, true)
    alone.receive(whole)
    receive(whole)
    await Promise.all(
      [alone.socket, socket].map((each) => new Promise((resolve) => each.on('close', resolve)))
    )
    t.strictSame(told, alone.told)
  })
}

test('ws reads a socket that uses compression', async (t) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: true })
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = new WebSocket(`ws://127.0.0.1:${port}`)
  const [[socket]] = await Promise.all([
    once(server, 'connection') as Promise<[WebSocket]>,
    once(client, 'open')
  ])
  t.teardown(() => client.terminate())
  t.equal(
    fastParser(socket, MAX_PAYLOAD, () => {}),
    undefined
  )
})

test('audio that arrives in the same TCP segment as the upgrade is not lost', async (t) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  t.teardown(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  await once(server, 'listening')
  const heard: Buffer[] = []
  server.on('connection', (socket) => {
    fastParser(socket, MAX_PAYLOAD, (data, _messages, reused) =>
      heard.push(reused ? Buffer.from(data) : data)
    )
  })
  const raw = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => raw.destroy())
  const head =
    'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
  raw.write(Buffer.concat([Buffer.from(head), binary(audio(320, 1))]))
  await once(raw, 'data')
  raw.write(binary(audio(320, 2)))
  const [socket] = server.clients
  raw.write(frame(Buffer.from('end'), { opcode: 9 }))
  if (socket) await once(socket, 'ping')
  t.strictSame(heard, [audio(320, 1), audio(320, 2)])
})
