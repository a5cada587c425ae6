import { capacity } from './capacity.js'
import { cluster } from './cluster.js'
import { growth } from './growth.js'
import { latency } from './latency.js'
import { messages } from './messages.js'
import { play } from './play.js'
import { redis } from './redis.js'
import { scale } from './scale.js'
import { sessions } from './sessions.js'
import type { Section } from './types.js'
import { webhookParts, webhooks } from './webhooks.js'

/** the sections, in the order in which they run */
export const sections: Readonly<Record<string, Section>> = {
  messages,
  latency,
  growth,
  scale,
  capacity,
  play,
  webhooks,
  webhookParts,
  sessions,
  redis,
  cluster
}
