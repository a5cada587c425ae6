import type { AudioStream } from './AudioStream.js'

export function watchEndConditions (_stream: AudioStream, _options: { silenceLevel: number }): void {}
