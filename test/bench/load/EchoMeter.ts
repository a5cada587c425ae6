import { numberOf, FRAME_BYTES, RING_LENGTH } from './frames.js'

const MAX_SAMPLES = 2_000_000
const OPCODE = 0x0f
const PING = 0x09
const LENGTH_16 = 126
const LENGTH_64 = 127

interface Echoing {
  /** ms at which each message was sent; the index is the message's number modulo RING_LENGTH */
  sentAt: Float64Array
  rest: Buffer | undefined
}

/**
 * Measures how long an echo takes, from the write of a message until the server's frame with the same audio
 * arrives.
 */
export class EchoMeter {
  readonly #calls = new Map<number, Echoing>()
  #samples: number[] = []

  sending(call: number, n: number): void {
    let echoing = this.#calls.get(call)
    if (echoing === undefined) {
      echoing = { sentAt: new Float64Array(RING_LENGTH), rest: undefined }
      this.#calls.set(call, echoing)
    }
    echoing.sentAt[n % RING_LENGTH] = performance.now()
  }

  /**
   * Reads bytes from the server: unmasked frames that may be cut anywhere. `onPing` is called with the
   * payload of a ping.
   */
  receive(call: number, bytes: Buffer, onPing: (body: Buffer) => void): void {
    const echoing = this.#calls.get(call)
    if (echoing === undefined) return
    const now = performance.now()
    let data = echoing.rest === undefined ? bytes : Buffer.concat([echoing.rest, bytes])
    for (let frame = readFrame(data); frame !== undefined; frame = readFrame(data)) {
      if (frame.opcode === PING) onPing(frame.body)
      for (let at = 0; at < frame.body.length; at += FRAME_BYTES) {
        const n = numberOf(call, frame.body, at)
        if (n !== undefined && this.#samples.length < MAX_SAMPLES) {
          this.#samples.push(now - (echoing.sentAt[n] ?? now))
        }
      }
      data = data.subarray(frame.end)
    }
    echoing.rest = data.length > 0 ? data : undefined
  }

  /** Returns the times of all echoes since the last call of this method, in ms, ascending. */
  take(): Float64Array {
    const samples = Float64Array.from(this.#samples).sort()
    this.#samples = []
    return samples
  }
}

function readFrame(data: Buffer): { opcode: number; body: Buffer; end: number } | undefined {
  if (data.length < 2) return undefined
  const short = (data[1] ?? 0) & 0x7f
  const head = short < LENGTH_16 ? 2 : short === LENGTH_16 ? 4 : 10
  if (data.length < head) return undefined
  const length =
    short < LENGTH_16 ? short : short === LENGTH_64 ? Number(data.readBigUInt64BE(2)) : data.readUInt16BE(2)
  const end = head + length
  if (data.length < end) return undefined
  return { opcode: (data[0] ?? 0) & OPCODE, body: data.subarray(head, end), end }
}
