import type { Recorder } from '../recording/index.js'
import type { RecordingControl } from '../audio/stream/RecordingControl.js'
import type { AudioStream } from '../audio/stream/AudioStream.js'

/**
 * The recorder, for the application: while it is paused the stream is read as it comes, so that nothing said in the
 * pause still waits in the kernel when it is over.
 */
export function livePauses(recorder: Recorder, stream: AudioStream): RecordingControl {
  let release: (() => void) | undefined
  return {
    get state() {
      return recorder.state
    },
    get error() {
      return recorder.error
    },
    pause(mode) {
      // First, since it reads what was said before the pause; a live stream has no batch to read.
      recorder.pause(mode)
      release ??= stream.keepLive()
    },
    resume() {
      recorder.resume()
      release?.()
      release = undefined
    }
  }
}
