import type { AudioStream } from '../audio/index.js'

/**
 * Returns how many channels of a stream are heard and measured: its own, and where the application speaks and jambonz
 * sends the caller alone, a second one with what the caller hears of the application.
 */
export function channelsOf({ channels, mixType, listen }: AudioStream): number {
  return mixType === 'mono' && listen.bidirectional?.mode === 'streaming' ? 2 : channels
}
