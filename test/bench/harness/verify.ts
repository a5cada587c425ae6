import { readFileSync } from 'node:fs'
import { audioOf, FRAME_BYTES } from '../load/frames.js'
import { callSidOf } from '../load/jambonz.js'
import type { RecordedFile } from '../server/types.js'

const SAMPLE_BYTES = 2

/**
 * Compares the file of each call with the sent audio, byte for byte. Throws an error that names the first
 * difference.
 */
export function verify(
  files: readonly RecordedFile[],
  sent: readonly number[],
  from = 0
): { files: number; bytes: number } {
  const byCall = new Map(files.map((file) => [file.callSid, file]))
  let bytes = 0
  for (const [at, messages] of sent.entries()) {
    const call = from + at
    const file = byCall.get(callSidOf(call))
    if (file === undefined) throw new Error(`call ${call} has no recording`)
    bytes += verifyFile(file, call, messages)
  }
  return { files: sent.length, bytes }
}

function verifyFile({ path, header, channels = 1 }: RecordedFile, call: number, messages: number): number {
  const audio = firstOf(readFileSync(path).subarray(header), channels)
  if (audio.length !== messages * FRAME_BYTES) {
    throw new Error(
      `call ${call}: ${messages * FRAME_BYTES} bytes were sent, ${audio.length} bytes are in ${path}`
    )
  }
  for (let n = 0; n < messages; n++) {
    if (!audio.subarray(n * FRAME_BYTES, (n + 1) * FRAME_BYTES).equals(audioOf(call, n))) {
      throw new Error(`call ${call}: message ${n} is not at its position in ${path}`)
    }
  }
  return audio.length
}

/** Returns the first channel of interleaved samples. */
function firstOf(audio: Buffer, channels: number): Buffer {
  if (channels === 1) return audio
  const first = Buffer.alloc(audio.length / channels)
  for (let at = 0; at < first.length; at += SAMPLE_BYTES) {
    first.writeInt16LE(audio.readInt16LE(at * channels), at)
  }
  return first
}
