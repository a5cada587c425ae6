import { listenIn } from '../model/callWrite.js'
import { HOOK_WAIT, isSaved } from '../model/listenLife.js'
import type { FinishedRecording } from '../model/recording.js'
import type { AudioCounts, Listen, StoredCall, StoredListen } from '../model/schema.js'
import { FRAME_MS, SAMPLE_BYTES } from '../pcm/samples.js'
import { withKnown } from '../recording/directory/sidecar.js'
import type { CallStore } from '../store/CallStore.js'

/** ms that the store needs to report the end of a listen to its hook */
const REPORT_TIME = 500
/** ms that the end of a listen waits for the recordings of its earlier sockets. Its hook waits for that end. */
const SAVE_WAIT = HOOK_WAIT - REPORT_TIME

/** Resolves to the listen once the recordings of its earlier sockets are final, or after SAVE_WAIT. */
export async function recordingsOf(store: CallStore, listen: Listen): Promise<StoredListen> {
  const { callSid, id, segments } = listen
  if (isSaved({ segments, saved: 0 })) return listen as StoredListen
  const call = await store.waitFor(
    callSid,
    id,
    (now) => now === undefined || isSaved({ segments, saved: now.saved }),
    SAVE_WAIT
  )
  return listenIn(call, id) ?? (listen as StoredListen)
}

/** Writes a recording that was finished, or repaired, after its listen had ended or continued elsewhere. */
export async function recorded(
  store: CallStore,
  { callSid, id }: Listen,
  recording: FinishedRecording
): Promise<void> {
  const known = listenIn(await store.get(callSid), id)
  const { call } = await store.write(callSid, [
    { patch: { listens: [{ id, recording: withKnown(recording, known?.recording) }] } }
  ])
  await countRecovered(store, call, id)
}

/**
 * Counts the recovered audio of a lost listen, whose instance did not count it. This function runs when the listen is
 * lost and when its recording is repaired: only the later run knows both facts. Resolves to the call with that audio.
 */
export async function countRecovered(
  store: CallStore,
  call: StoredCall,
  listenId: string
): Promise<StoredCall> {
  const listen = listenIn(call, listenId)
  const audio = listen && recoveredAudio(listen)
  if (audio === undefined) return call
  const written = await store.write(call.callSid, [
    {
      guards: [{ listen: listenId, field: 'endReason', is: 'lost' }],
      patch: { listens: [{ id: listenId, audio }] }
    }
  ])
  return written.call
}

/** Returns all audio of a lost listen, including the recovered audio; undefined if that is counted already. */
function recoveredAudio({
  endReason,
  audio,
  recording,
  segments = [],
  sampleRate,
  channels
}: StoredListen): AudioCounts | undefined {
  if (endReason !== 'lost' || recording === undefined) return undefined
  const counted = segments.reduce((total, segment) => total + segment.audio.bytes, 0)
  if (audio.bytes > counted) return undefined
  const files = recording.segments ?? [recording]
  const durationMs = files
    .filter(({ segment = 1 }) => segment > segments.length)
    .reduce((total, file) => total + file.durationMs, 0)
  if (durationMs === 0) return undefined
  return {
    ...audio,
    frames: audio.frames + Math.ceil(durationMs / FRAME_MS),
    bytes: audio.bytes + Math.round((durationMs * sampleRate) / 1_000) * channels * SAMPLE_BYTES,
    durationMs: audio.durationMs + durationMs
  }
}
