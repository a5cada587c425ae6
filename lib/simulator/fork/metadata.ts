import { throughTokenizer } from './tokenizer.js'

/** The most bytes of metadata that the media server keeps (mod_audio_fork, MAX_METADATA_LEN). It cuts off the rest. */
export const MAX_METADATA = 8_192

export type Json = Record<string, unknown>

/** Escapes the strings of the top level a second time, against the tokenizer (feature-server lib/tasks/listen.js). */
export function escapeStrings(values: Json): Json {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, typeof value === 'string' ? escape(value) : value])
  )
}

/** Returns the first text frame of an audio socket: metadata after FreeSWITCH's tokenizer, cut at 8192 bytes. */
export function metadataFrame(metadata: Json): Buffer {
  const text = Buffer.from(throughTokenizer(JSON.stringify(metadata), '|'), 'utf8')
  return text.subarray(0, MAX_METADATA)
}

/** Returns a text frame of a media server that is not FreeSWITCH: the unchanged JSON (assumed, not measured). */
export function intactFrame(metadata: Json): Buffer {
  return Buffer.from(JSON.stringify(metadata), 'utf8')
}

/** Returns a later text frame (dtmf, playDone) after the tokenizer, which splits it at blanks. */
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
