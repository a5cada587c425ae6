import type { RecorderState } from '../audio/stream/LiveStream.js'
import type { Call, Listen, MixType, PauseMode } from '../model/schema.js'
import { addHeard, pairUp, SAMPLE_BYTES } from '../pcm/samples.js'
import type { FinishedRecording } from '../model/recording.js'
import type { RecordedStream, Recorder } from './types.js'

/**
 * Returns the application's audio that the caller heard during the frame being recorded; undefined if there
 * was none.
 */
export type Heard = (frame: Buffer) => Int16Array | undefined

/**
 * Returns true if the application may stream audio to the caller, so that the recording contains that audio,
 * too.
 */
export function isSpokenTo({ listen }: RecordedStream): boolean {
  return listen.bidirectional?.mode === 'streaming'
}

/**
 * Returns the number of channels of a recording with the application's audio. This is the number of the
 * stream's channels, or two if jambonz sends the caller's audio alone and the application speaks. The second
 * channel then is the application's audio as the caller heard it.
 */
export function channelsWithOutput(stream: RecordedStream): number {
  return stream.mixType === 'mono' && isSpokenTo(stream) ? 2 : stream.channels
}

/** Shows a mono stream of the caller as two channels: the caller left, the application right. */
export class TwoSides implements RecordedStream {
  readonly channels = 2
  readonly mixType: MixType = 'stereo'
  readonly #stream: RecordedStream

  constructor(stream: RecordedStream) {
    this.#stream = stream
  }

  get callSid(): string {
    return this.#stream.callSid
  }

  get call(): Call {
    return this.#stream.call
  }

  get listen(): Listen {
    return this.#stream.listen
  }

  get sampleRate(): number {
    return this.#stream.sampleRate
  }
}

/**
 * A recorder that adds the application's audio, as the caller heard it, to the frames of jambonz, which do not contain
 * it. `mono`: as a second channel. `stereo`: mixed into the right channel. `mixed`: mixed into the one channel.
 */
export class OutputMixer implements Recorder {
  readonly #recorder: Recorder
  readonly #mixType: MixType
  readonly #heard: Heard
  // One buffer for all frames, since the recorder copies each frame.
  #scratch = Buffer.alloc(0)
  #samples = new Int16Array(0)

  constructor(recorder: Recorder, mixType: MixType, heard: Heard) {
    this.#recorder = recorder
    this.#mixType = mixType
    this.#heard = heard
  }

  get state(): RecorderState {
    return this.#recorder.state
  }

  get error(): Error | undefined {
    return this.#recorder.error
  }

  get maxDelay(): number {
    return this.#recorder.maxDelay
  }

  write(frame: Buffer, gapMs: number): void {
    const heard = this.#heard(frame)
    if (this.#mixType === 'mono') this.#recorder.write(this.#asTwo(frame, heard), gapMs)
    else this.#recorder.write(heard === undefined ? frame : this.#withHeard(frame, heard), gapMs)
  }

  rest(): void {
    this.#recorder.rest()
  }

  pause(mode?: PauseMode): void {
    this.#recorder.pause(mode)
  }

  resume(): void {
    this.#recorder.resume()
  }

  finish(listen: Listen): Promise<FinishedRecording> {
    return this.#recorder.finish(listen)
  }

  #asTwo(frame: Buffer, heard: Int16Array | undefined): Buffer {
    const pairs = this.#room(2 * frame.length)
    pairUp(frame, heard, this.#samples)
    return pairs
  }

  #withHeard(frame: Buffer, heard: Int16Array): Buffer {
    const mixed = this.#room(frame.length)
    mixed.set(frame)
    addHeard(this.#samples, heard, this.#mixType === 'stereo' ? 2 : 1)
    return mixed
  }

  #room(bytes: number): Buffer {
    if (this.#scratch.length < bytes) {
      this.#scratch = Buffer.alloc(bytes)
      this.#samples = new Int16Array(this.#scratch.buffer, this.#scratch.byteOffset, bytes / SAMPLE_BYTES)
    }
    return this.#scratch.subarray(0, bytes)
  }
}
