import { throughTokenizer } from './tokenizer.js'

/** Bytes of initial metadata the media server keeps (mod_audio_fork, MAX_METADATA_LEN); the rest is cut off. */
export const MAX_METADATA = 8_192

export type Json = Record<string, unknown>

/** Strings at the top level are escaped once more (feature-server lib/tasks/listen.js), so that they survive the tokenizer. */
export function escapeStrings(values: Json): Json {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, typeof value === 'string' ? escape(value) : value])
  )
}

/** The first text frame of an audio socket: metadata after FreeSWITCH's tokenizer and its 8192 byte field. */
export function metadataFrame(metadata: Json): Buffer {
  const text = Buffer.from(throughTokenizer(JSON.stringify(metadata), '|'), 'utf8')
  return text.subarray(0, MAX_METADATA)
}

/** A text frame of a media server that is not FreeSWITCH: whole, and JSON whatever it contains (not measured). */
export function intactFrame(metadata: Json): Buffer {
  return Buffer.from(JSON.stringify(metadata), 'utf8')
}

/** A text the feature server sends later (dtmf, playDone): the same tokenizer, split at blanks. */
export function textFrame(message: Json): Buffer {
  return Buffer.from(throughTokenizer(JSON.stringify(message), ' '), 'utf8')
}

function escape(text: string): string {
  return text
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\b', '\\b')
    .replaceAll('\f', '\\f')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t')
}
