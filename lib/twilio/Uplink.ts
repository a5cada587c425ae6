import { sideOf } from '../audio/stream/ChannelReader.js'
import { encodeMulaw } from '../pcm/mulaw.js'
import { Resampler } from '../pcm/Resampler.js'
import { samplesOf } from '../pcm/samples.js'
import { MEDIA_BYTES, TWILIO_RATE } from './messages.js'

/** The caller's audio on its way to the bot: L16 of any rate becomes mu-law at 8 kHz, in pieces of 20 ms. */
export class Uplink {
  readonly #stereo: boolean
  readonly #resampler: Resampler | undefined
  readonly #onPiece: (mulaw: Buffer) => void
  readonly #piece = Buffer.alloc(MEDIA_BYTES)
  #filled = 0

  /** `onPiece` gets one and the same buffer each time. */
  constructor(sampleRate: number, channels: number, onPiece: (mulaw: Buffer) => void) {
    this.#stereo = channels === 2
    this.#resampler = sampleRate === TWILIO_RATE ? undefined : new Resampler(sampleRate, TWILIO_RATE)
    this.#onPiece = onPiece
  }

  frame(frame: Buffer): void {
    const samples = samplesOf(this.#stereo ? sideOf(frame, 'caller') : frame)
    const mulaw = encodeMulaw(this.#resampler?.process(samples) ?? samples)
    for (let at = 0; at < mulaw.length;) {
      const copied = mulaw.copy(this.#piece, this.#filled, at)
      at += copied
      this.#filled += copied
      if (this.#filled < MEDIA_BYTES) continue
      this.#filled = 0
      this.#onPiece(this.#piece)
    }
  }
}
