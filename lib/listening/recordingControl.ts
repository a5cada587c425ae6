import type { LiveStream, RecordingControl } from '../audio/index.js'
import type { Recorder } from '../recording/index.js'

/** Returns the recorder as the application has it: a pause is one of the whole stream, whatever the recorder does. */
export function recordingControl(recorder: Recorder, live: LiveStream): RecordingControl {
  return {
    get state() {
      const { state } = recorder
      if (state !== 'recording' && state !== 'paused') return state
      return live.privacy === false ? 'recording' : 'paused'
    },
    get error() {
      return recorder.error
    },
    pause: (mode = 'silence') => live.beginPrivacy(mode),
    resume: () => live.endPrivacy()
  }
}
