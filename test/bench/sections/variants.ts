import type { Variant } from '../harness/measureCalls.js'

export const BARE: Variant = { name: 'bare `ws`, discards', server: { name: 'bare' } }
export const SDK: Variant = {
  name: '`@jambonz/sdk` + createWriteStream',
  server: { name: 'sdk' },
  records: true
}
export const PER_MESSAGE: Variant = {
  name: '`@fastify/websocket` + createWriteStream',
  server: { name: 'perMessage' },
  records: true
}
export const RECORD: Variant = {
  name: 'plugin: recording',
  server: { name: 'plugin' },
  webhook: '/record',
  records: true
}
export const READ: Variant = {
  name: 'plugin: recording + live reader',
  server: { name: 'plugin' },
  webhook: '/read',
  records: true
}
export const WATCH: Variant = {
  name: 'plugin: recording + tap + silence detection',
  server: { name: 'plugin' },
  webhook: '/watch',
  records: true
}
export const BARE_ECHO: Variant = { name: 'bare `ws`, echoes', server: { name: 'bareEcho' }, echo: true }
export const ECHO: Variant = {
  name: 'plugin: echo',
  server: { name: 'plugin' },
  webhook: '/echo',
  echo: true
}

/**
 * An agent that reads the caller's audio and writes the same amount, in pieces of 20 ms. Both sides are
 * recorded.
 */
export const AGENT: Variant = {
  name: 'plugin: agent (reader + `utterance()`, both sides recorded)',
  server: { name: 'plugin' },
  webhook: '/agent',
  echo: true,
  records: true
}

export function withRedis(variant: Variant, redisPort: number): Variant {
  return { ...variant, name: `${variant.name}, Redis store`, server: { ...variant.server, redisPort } }
}
