import { listenIn } from '../model/callWrite.js'
import { LimitedMap } from '../model/json.js'
import { HOOK_WAIT } from '../model/listenLife.js'
import type { FinishedRecording } from '../model/recording.js'
import type { AudioCounts, Listen, ListenSegment, StoredCall, StoredListen } from '../model/schema.js'
import { wallClock } from '../model/time.js'
import { FRAME_MS, SAMPLE_BYTES } from '../pcm/samples.js'
import { withKnown } from '../recording/directory/sidecar.js'
import type { CallStore } from '../store/CallStore.js'

/** ms that the store needs to report the end of a listen to the instance that received the actionHook */
const REPORT_TIME = 500
/**
 * ms that a listen waits for the recordings of its earlier sockets before it ends. It must end before
 * HOOK_WAIT, since the actionHook waits for the end.
 */
const SAVE_WAIT = HOOK_WAIT - REPORT_TIME

/** Maximum number of dead instances to remember. */
const MAX_DEAD = 1_000

/** The instances that have died. A later start repairs the recordings that they left unfinished. */
export class DeadInstances {
  /** when each instance was last reported dead, ms since the epoch */
  readonly #diedAt = new LimitedMap<string, number>(MAX_DEAD)

  add(instance: string): void {
    this.#diedAt.set(instance, wallClock())
  }

  /**
   * Returns true if the instance of a segment was reported dead after the end of the segment. An instance that was only
   * cut off from the store may come back, and have further segments.
   */
  has({ instance, endedAt }: ListenSegment): boolean {
    return (this.#diedAt.get(instance ?? '') ?? -Infinity) > Date.parse(endedAt)
  }
}

/**
 * Resolves to the listen once the recordings of its earlier sockets are final, or after SAVE_WAIT. Does not wait for the
 * recordings of dead instances.
 */
export async function recordingsOf(
  { store, dead }: { store: CallStore; dead: DeadInstances },
  listen: Listen
): Promise<StoredListen> {
  const { callSid, id, segments = [] } = listen
  const areFinal = (saved?: number): boolean =>
    segments.every((segment, at) => !segment.recorded || at < (saved ?? 0) || dead.has(segment))
  if (!segments.some(({ recorded }) => recorded)) return listen as StoredListen
  const call = await store.waitFor(callSid, id, (now) => now === undefined || areFinal(now.saved), SAVE_WAIT)
  return listenIn(call, id) ?? (listen as StoredListen)
}

/**
 * Writes that the recordings of the listen's first `saved` segments are final. `fields.recording`: the recording of the
 * last of these. A slow sink may be late, so the recordings of later segments may be in the store already.
 */
export async function segmentsSaved(
  store: CallStore,
  { callSid, id }: Listen,
  saved = 0,
  fields: Pick<Listen, 'recording' | 'recordingError'>
): Promise<void> {
  const known = listenIn(await store.get(callSid), id)
  const recording = fields.recording && withKnown(fields.recording as FinishedRecording, known?.recording)
  const patch = { ...fields, id, recording, saved: Math.max(saved, known?.saved ?? 0) }
  await store.write(callSid, [{ patch: { listens: [patch] }, wakes: [id] }])
}

/**
 * Writes a recording that was finished or repaired after its listen had ended, or had continued on another
 * instance.
 */
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
 * Counts the recovered audio of a lost listen, which the dead instance did not count. Called when the listen
 * is declared lost, and again when its recording is repaired, in either order. The later of these calls does
 * the counting. Resolves to the call with the counted audio.
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

/**
 * Returns the counts of all audio of a lost listen, with the recovered audio. Returns undefined if the
 * recovered audio is counted already.
 */
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
