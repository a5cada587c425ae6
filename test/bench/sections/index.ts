import { messages } from './messages.js'
import type { Section } from './types.js'

/** In the order they run. */
export const sections: Readonly<Record<string, Section>> = { messages }
