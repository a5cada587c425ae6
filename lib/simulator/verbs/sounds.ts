import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { speechLike } from '../audio/generate.js'
import { resample } from '../audio/resampler.js'
import { parseWav } from '../audio/wav.js'
import { reasonOf } from '../errors.js'
import { Task } from './task.js'

const CHARACTERS_PER_SECOND = 15
const MAX_SAY_SECONDS = 120
const UNKNOWN_PLAY_SECONDS = 2
/** Hz of the voice of verbs. The caller's voice is lower, so that one can tell the two apart. */
const VOICE_HZ = 190
const SILENCE = /^silence_stream:\/\/(\d+)/

/** A verb that plays audio to the caller, once or in a loop. */
abstract class SoundTask extends Task {
  override readonly precondition = 'endpoint'

  protected async playAll(sounds: Int16Array[]): Promise<{ ms: number }> {
    const { leg, options } = this.session
    const loop = this.data.loop === 'forever' ? Infinity : Number(this.data.loop ?? 1)
    // An endless loop without audio would block the event loop.
    const audible = sounds.filter((sound) => sound.length > 0)
    let samples = 0
    for (let round = 0; round < loop && audible.length > 0 && !this.killed; round++) {
      for (const sound of audible) {
        if (!this.killed) samples += (await leg.player.play(sound)).samples
      }
    }
    return { ms: Math.round((samples * 1000) / options.callRate) }
  }

  protected override onKill(): void {
    this.session.leg.player.stop()
  }
}

/** `say`: plays a speech-like signal, about as long as speech of the text. */
export class SayTask extends SoundTask {
  override async exec(): Promise<void> {
    const { callRate } = this.session.options
    const { text, stream } = this.data
    if (stream === true) {
      throw new Error('say: stream works only for an application over a websocket')
    }
    const texts = (Array.isArray(text) ? text : [text]).filter((part) => typeof part === 'string')
    await this.playAll(texts.map((part) => speak(part, callRate)))
  }
}

/** `play`: plays a WAV file of this machine. For any other url, only waits some time. */
export class PlayTask extends SoundTask {
  override async exec(): Promise<void> {
    const { callRate } = this.session.options
    const urls = (Array.isArray(this.data.url) ? this.data.url : [this.data.url]).map(String)
    const timeout = Number(this.data.timeoutSecs ?? -1)
    const cancel =
      timeout > 0
        ? this.session.clock.at(this.session.clock.now() + timeout * 1000, () => this.kill('done'))
        : undefined
    const { ms } = await this.playAll(urls.map((url) => this.#load(url, callRate)))
    cancel?.()
    await this.performAction({
      reason: 'playCompleted',
      playbackSeconds: Math.floor(ms / 1000),
      playbackMilliseconds: ms,
      playbackLastOffsetPos: String((ms * callRate) / 1000)
    })
  }

  #load(url: string, callRate: number): Int16Array {
    const silence = SILENCE.exec(url)
    if (silence !== null) return new Int16Array((Number(silence[1]) * callRate) / 1000)
    const path = url.startsWith('file://') ? fileURLToPath(url) : url
    try {
      if (path.endsWith('.wav') && existsSync(path)) {
        const { samples, sampleRate } = parseWav(readFileSync(path))
        return resample(samples, sampleRate, callRate)
      }
      this.note(`${url} is not fetched; ${UNKNOWN_PLAY_SECONDS} s pass instead`)
    } catch (error) {
      this.note(`${url}: ${reasonOf(error)}; ${UNKNOWN_PLAY_SECONDS} s pass instead`)
    }
    return speechLike(UNKNOWN_PLAY_SECONDS, callRate, VOICE_HZ).samples
  }
}

function speak(text: string, callRate: number): Int16Array {
  const silence = SILENCE.exec(text)
  if (silence !== null) return new Int16Array((Number(silence[1]) * callRate) / 1000)
  const spoken = text.replace(/<[^>]*>/g, '').trim()
  return speechLike(Math.min(spoken.length / CHARACTERS_PER_SECOND, MAX_SAY_SECONDS), callRate, VOICE_HZ)
    .samples
}
