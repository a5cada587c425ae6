import type { Listen } from './schema.js'

const DEFAULT_RATE = 8_000
/** Hz; jambonz documents 8,000 to 64,000 and tries any other rate, too (mod_audio_fork). */
const MIN_RATE = 1_000
const MAX_RATE = 384_000

/**
 * Returns the audio format that a socket's first frame gives; jambonz' default for each field that is absent or
 * invalid.
 */
export function formatOf({ mixType, sampleRate }: Record<string, unknown> = {}): Pick<
  Listen,
  'mixType' | 'channels' | 'sampleRate'
> {
  return {
    mixType: mixType === 'stereo' || mixType === 'mixed' ? mixType : 'mono',
    channels: mixType === 'stereo' ? 2 : 1,
    sampleRate: isRate(sampleRate) ? sampleRate : DEFAULT_RATE
  }
}

/** Returns the listen with the format of its first frame, if the store has never seen its verb. */
export function asFramed(listen: Listen, metadata: Record<string, unknown> | undefined): Listen {
  return listen.path === '' ? { ...listen, ...formatOf(metadata) } : listen
}

function isRate(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= MIN_RATE && Number(value) <= MAX_RATE
}
