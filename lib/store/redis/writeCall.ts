import type { RedisCommands } from './client.js'
import type { Clock } from './Clock.js'
import type { FieldPart } from './fields.js'
import type { Keys } from './keys.js'
import { wakeMessage } from './messages.js'
import { run, WRITE } from './scripts.js'

export interface WriteOptions {
  keys: Keys
  clock: Clock
  /** ms that the call is kept */
  ttl: number
  /** ms that the call is kept where a listen of it may still open */
  expectedTtl: number
  /** maximum age, ms, of a change that still counts as the latest; 0 for one that waited while the store was away */
  fresh: number
}

export interface ScriptResult {
  /** of each part */
  applied: boolean[]
  created: boolean
  /** all fields of the call */
  stored: Array<[name: string, text: string]>
}

/** Writes a change of one call to Redis with one command, and wakes those on all instances who wait for its listens. */
export async function writeCall(
  redis: RedisCommands,
  callSid: string,
  parts: readonly FieldPart[],
  { keys, clock, ttl, expectedTtl, fresh }: WriteOptions
): Promise<ScriptResult> {
  const sent = performance.now()
  const [applied, created, micros, stored] = (await run(redis, WRITE, keys.call(callSid), [
    String(Math.ceil(ttl)),
    String(Math.ceil(expectedTtl)),
    String(fresh * 1_000),
    keys.channel,
    ...parts.flatMap(({ guards, fields, wakes }) => [
      String(guards.length),
      String(wakes.length),
      String(fields.length),
      ...guards.flatMap(({ op, field, json }) => [op, field, json]),
      ...wakes.map((listenId) => wakeMessage(callSid, listenId)),
      ...fields.flatMap(({ name, version, json }) => [name, String(version), json])
    ])
  ])) as [applied: number[], created: number, micros: string, stored: string[]]
  clock.heard(Number(micros), sent)
  return {
    applied: applied.map((one) => Number(one) === 1),
    created: Number(created) === 1,
    stored: pairs(stored)
  }
}

function pairs(flat: readonly string[]): Array<[string, string]> {
  const result: Array<[string, string]> = []
  for (let i = 0; i + 1 < flat.length; i += 2) result.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return result
}
