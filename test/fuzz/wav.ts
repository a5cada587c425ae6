import fc from 'fast-check'
import { readWav } from '../../lib/pcm/readWav.js'
import { assertCoded, nothingToEnd, type FuzzTarget } from './target.js'

const LONGEST = 2_000

/** the header of a WAV file, with random format and sizes */
const header = fc.record({
  code: fc.constantFrom(0, 1, 3, 6, 7, 85, 0xff_fe, 0xff_ff),
  channels: fc.constantFrom(0, 1, 2, 6, 65_535),
  rate: fc.oneof(fc.constantFrom(0, 8000, 44_100), fc.nat(0xff_ff_ff_ff)),
  bits: fc.constantFrom(0, 8, 12, 16, 24, 32, 64, 65_535),
  formatBytes: fc.constantFrom(0, 4, 16, 18, 40, 0xff_ff_ff_ff),
  dataBytes: fc.oneof(fc.constantFrom(0, 0xff_ff_ff_ff), fc.nat(LONGEST)),
  between: fc.uint8Array({ maxLength: 40 }),
  samples: fc.uint8Array({ maxLength: LONGEST })
})

const wavFile = header.map(({ code, channels, rate, bits, formatBytes, dataBytes, between, samples }) => {
  const format = Buffer.alloc(24)
  format.write('fmt ', 0, 'latin1')
  format.writeUInt32LE(formatBytes, 4)
  format.writeUInt16LE(code, 8)
  format.writeUInt16LE(channels, 10)
  format.writeUInt32LE(rate, 12)
  format.writeUInt16LE(bits, 22)
  const data = Buffer.alloc(8)
  data.write('data', 0, 'latin1')
  data.writeUInt32LE(dataBytes, 4)
  return Buffer.concat([Buffer.from('RIFF\x00\x00\x00\x00WAVE', 'latin1'), format, between, data, samples])
})

/** Random bytes are read as a WAV. The result must be audio or an error of the plugin, in bounded time. */
export const wav: FuzzTarget = {
  name: 'wav',
  share: 2,
  async begin() {
    return {
      property: fc.property(fc.oneof(wavFile, fc.uint8Array({ maxLength: LONGEST })), (bytes) => {
        try {
          readWav(bytes)
        } catch (err) {
          assertCoded(err)
        }
      }),
      end: nothingToEnd
    }
  }
}
