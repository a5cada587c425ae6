import type { RedisCommands } from './client.js'
import type { Clock } from './Clock.js'
import { changedListens, type Field } from './fields.js'
import { listenName, type Keys } from './keys.js'
import type { Change, Guard } from './LocalCalls.js'
import { run, WRITE } from './scripts.js'

/** fields of one command: Lua passes no more than some thousand values */
const MAX_FIELDS = 1_000

export interface WriteOptions {
  keys: Keys
  clock: Clock
  /** ms */
  ttl: number
  /** ms that the change may be old and still be the latest; 0 for what waited while the store was away */
  fresh: number
}

export interface Written {
  applied: boolean
  created: boolean
  /** all fields of the call */
  stored: Array<[name: string, text: string]>
}

/** Writes a change of one call to Redis, and tells all instances of the listens that somebody may wait for. */
export async function writeCall(
  redis: RedisCommands,
  callSid: string,
  { fields, guards, also = [] }: Change,
  options: WriteOptions
): Promise<Written> {
  const all = [...fields, ...also]
  const first = await write(redis, callSid, guards, fields.length, all.slice(0, MAX_FIELDS), options)
  let last = first
  for (
    let at = first.applied ? MAX_FIELDS : Math.max(MAX_FIELDS, fields.length);
    at < all.length;
    at += MAX_FIELDS
  ) {
    last = await write(redis, callSid, [], 0, all.slice(at, at + MAX_FIELDS), options)
  }
  return { ...last, applied: first.applied, created: first.created }
}

/** `guarded`: so many of the fields, the first, are written only where the guards hold. */
async function write(
  redis: RedisCommands,
  callSid: string,
  guards: readonly Guard[],
  guarded: number,
  fields: readonly Field[],
  { keys, clock, ttl, fresh }: WriteOptions
): Promise<Written> {
  const messages = changedListens(fields).map((listenId) => listenName(callSid, listenId))
  const sent = performance.now()
  const [applied, created, micros, stored] = (await run(redis, WRITE, keys.call(callSid), [
    String(Math.ceil(ttl)),
    String(fresh * 1_000),
    keys.ended,
    String(guards.length),
    String(messages.length),
    String(guarded),
    ...guards.flatMap(({ op, field, json }) => [op, field, json]),
    ...messages,
    ...fields.flatMap(({ name, version, json }) => [name, String(version), json])
  ])) as [applied: number, created: number, micros: string, stored: string[]]
  clock.heard(Number(micros), sent)
  return { applied: Number(applied) === 1, created: Number(created) === 1, stored: pairs(stored) }
}

function pairs(flat: readonly string[]): Array<[string, string]> {
  const result: Array<[string, string]> = []
  for (let i = 0; i + 1 < flat.length; i += 2) result.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return result
}
