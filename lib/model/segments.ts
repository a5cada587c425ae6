import type { AudioCounts, Listen, ListenSegment } from './schema.js'

/** What the listen has to say once another of its sockets has closed: all of them counted together. */
export function withSegment(listen: Listen, segment: ListenSegment): Pick<Listen, 'audio' | 'segments'> {
  const before = listen.segments ?? []
  return {
    audio: addUp(before.at(-1), listen.audio, segment),
    segments: [...before, segment]
  }
}

function addUp(
  last: ListenSegment | undefined,
  total: AudioCounts,
  { startedAt, endedAt, audio }: ListenSegment
): AudioCounts {
  if (last === undefined) return audio
  const between = Math.max(0, Date.parse(startedAt ?? endedAt) - Date.parse(last.endedAt))
  return {
    frames: total.frames + audio.frames,
    bytes: total.bytes + audio.bytes,
    durationMs: total.durationMs + audio.durationMs,
    gapMs: total.gapMs + between + audio.gapMs,
    maxGapMs: Math.max(total.maxGapMs, between, audio.maxGapMs)
  }
}

/** Seconds that a listen which is handed over may still last; undefined: as long as it likes. */
export function lengthLeft({ maxLength, audio }: Pick<Listen, 'maxLength' | 'audio'>): number | undefined {
  return maxLength === undefined || maxLength <= 0
    ? undefined
    : Math.ceil(maxLength - (audio.durationMs + audio.gapMs) / 1000)
}

/** The recordings of the segments it has had are final. */
export function isSaved({ saved = 0, segments = [] }: Pick<Listen, 'saved' | 'segments'>): boolean {
  return segments.findLastIndex(({ recorded }) => recorded) < saved
}
