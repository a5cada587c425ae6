import type { Format, ResolvedRecordingOptions } from './options.js'
import { ENCRYPTED, ENCRYPTED_WAV, WAV } from './paths.js'

interface FormatFacts {
  extension: string
  contentType: string
  /** how ffmpeg makes it */
  ffmpeg: string[]
}

// Opus and MP3 at bit rates at which telephone speech is transparent. FLAC loses nothing, at about half the size.
const FORMATS: Record<Format, FormatFacts> = {
  wav: { extension: '.wav', contentType: 'audio/wav', ffmpeg: [] },
  flac: { extension: '.flac', contentType: 'audio/flac', ffmpeg: ['-c:a', 'flac', '-f', 'flac'] },
  opus: {
    extension: '.opus',
    contentType: 'audio/ogg; codecs=opus',
    ffmpeg: ['-c:a', 'libopus', '-b:a', '32k', '-f', 'ogg']
  },
  mp3: {
    extension: '.mp3',
    contentType: 'audio/mpeg',
    ffmpeg: ['-c:a', 'libmp3lame', '-q:a', '4', '-f', 'mp3']
  }
}

/** Something is to be done with each recording when it is complete on this disk. */
export function needsMore({ format, sink }: Pick<ResolvedRecordingOptions, 'format' | 'sink'>): boolean {
  return format !== 'wav' || sink !== undefined
}

/** Of a recording when all is done. */
export function finalExtension({
  format,
  encryption
}: Pick<ResolvedRecordingOptions, 'format' | 'encryption'>): string {
  return FORMATS[format].extension + (encryption ? ENCRYPTED : '')
}

/** Of a recording while it is spoken, and after. */
export function audioExtension({ encryption }: Pick<ResolvedRecordingOptions, 'encryption'>): string {
  return encryption ? ENCRYPTED_WAV : WAV
}

export function contentTypeOf(format: Format): string {
  return FORMATS[format].contentType
}

export function ffmpegArguments(format: Format): string[] {
  return FORMATS[format].ffmpeg
}
