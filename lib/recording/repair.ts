import { stat } from 'node:fs/promises'
import type { Listen } from '../model/schema.js'
import { remove } from './files.js'
import { needsMore } from './formats.js'
import { hashPath } from './hash.js'
import type { ResolvedRecordingOptions } from './options.js'
import { ENCRYPTED_WAV, ifThere, type RecordingPaths } from './paths.js'
import { placeFile } from './place.js'
import { repairAudio } from './repairAudio.js'
import type { FinishedRecording } from './schema.js'
import { ownRecording, saveSidecar } from './segments.js'
import { readSidecar, type PartSidecar } from './sidecar.js'
import { durationOf } from '../pcm/wavHeader.js'

export interface Repaired {
  paths: RecordingPaths
  listen: Listen
  /** this file */
  own: FinishedRecording
  /** the listen's recording: this file, or all its segments */
  recording: FinishedRecording
}

/**
 * Completes what a process left when it died, at whatever point it did: audio, name, sidecar. The part's sidecar is
 * ours (`token`) alone, and stays. Undefined when nothing was recorded yet.
 */
export async function repairPart(
  paths: RecordingPaths,
  token: string,
  notes: PartSidecar,
  options: ResolvedRecordingOptions
): Promise<Repaired | undefined> {
  const { recorder, ...listen } = notes
  const done = await readSidecar(paths.sidecar)
  if (done?.recording !== undefined && ownRecording(done.recording).id === recorder.id) {
    await remove(paths.part)
    return { paths, listen: done, own: ownRecording(done.recording), recording: done.recording }
  }
  const part = await ifThere(stat(paths.part))
  const final = part ?? (await ifThere(stat(paths.final)))
  if (final === undefined) return undefined
  const described = await describe(part ? paths.part : paths.final, final.mtime, notes, options)
  const placed = part ? await placeFile(paths) : paths
  const own = { ...described, location: placed.final }
  const recording = await saveSidecar(placed, recorder.segment, token, listen, own, true)
  await remove(placed.part)
  return { paths: placed, listen, own, recording: { ...recording, recovered: true } }
}

async function describe(
  path: string,
  ended: Date,
  { recorder }: PartSidecar,
  options: ResolvedRecordingOptions
): Promise<FinishedRecording> {
  const { sampleRate, channels, startedAt, pauses, gaps } = recorder
  const { bytes, dataBytes, levels } = await repairAudio(path, recorder, options.encryption)
  return {
    id: recorder.id,
    state: needsMore(options) ? 'spooled' : 'saved',
    location: path,
    format: 'wav',
    bytes,
    durationMs: Math.round(durationOf({ sampleRate, channels }, dataBytes)),
    sampleRate,
    channels,
    startedAt,
    // when its last samples were written, as far as can be told
    endedAt: ended.toISOString(),
    ...(path.endsWith(ENCRYPTED_WAV) && { encrypted: true }),
    ...(options.levels && { levels: levels.channels }),
    gaps,
    pauses,
    ...(options.sha256 && { sha256: await hashPath(path) }),
    recovered: true
  }
}
