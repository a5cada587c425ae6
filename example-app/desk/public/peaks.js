const COLUMNS = 480
/** number of bytes within which the header of a WAV ends */
const HEAD = 128

/**
 * Resolves to the waveform of a WAV of 16-bit PCM, as `{ channels, peaks }`. `peaks` has, as bytes, the
 * lowest and highest sample of each channel in each column. The file is read as a stream, and no audio is
 * kept.
 */
export async function peaksOf(url, signal) {
  const response = await fetch(url, { signal })
  if (!response.ok) throw new Error(`${url}: status ${response.status}`)
  const size = Number(response.headers.get('content-length'))
  let rest = new Uint8Array(0)
  let scan
  const reader = response.body.getReader()
  for (;;) {
    const { value, done } = await reader.read()
    if (done) break
    const bytes = rest.length === 0 ? value : concat(rest, value)
    if (scan === undefined && bytes.length < HEAD && bytes.length < size) {
      rest = bytes
      continue
    }
    scan ??= new Scan(bytes, size)
    rest = scan.add(bytes)
  }
  return scan
}

class Scan {
  channels
  peaks
  #skip
  #perColumn
  #position = 0

  constructor(head, size) {
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
    this.channels = view.getUint16(find(head, 'fmt ') + 10, true)
    this.#skip = find(head, 'data') + 8
    const moments = (size - this.#skip) / 2 / this.channels
    this.#perColumn = Math.max(1, Math.ceil(moments / COLUMNS)) * this.channels
    this.peaks = new Int8Array(COLUMNS * this.channels * 2)
  }

  /** Adds samples. Returns the bytes at the end that are no complete sample. */
  add(bytes) {
    const from = this.#skip
    this.#skip = 0
    const count = Math.floor((bytes.length - from) / 2)
    const view = new DataView(bytes.buffer, bytes.byteOffset + from, count * 2)
    const { channels, peaks } = this
    for (let at = 0; at < count; at++, this.#position++) {
      const sample = view.getInt16(at * 2, true) >> 8
      const low = (Math.floor(this.#position / this.#perColumn) * channels + (this.#position % channels)) * 2
      if (sample < peaks[low]) peaks[low] = sample
      else if (sample > peaks[low + 1]) peaks[low + 1] = sample
    }
    return bytes.slice(from + count * 2)
  }
}

function find(bytes, id) {
  const at = String.fromCharCode(...bytes.subarray(0, HEAD)).indexOf(id)
  if (at === -1) throw new Error('this is no WAV')
  return at
}

function concat(one, other) {
  const whole = new Uint8Array(one.length + other.length)
  whole.set(one)
  whole.set(other, one.length)
  return whole
}
