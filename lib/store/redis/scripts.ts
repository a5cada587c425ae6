import { createHash } from 'node:crypto'
import { isError } from '../../model/json.js'
import type { Clock } from './Instances.js'
import type { RedisCommands } from './Link.js'
import { SEAL, type FieldPart } from './fields.js'
import { type Keys, wakeMessage } from './keys.js'

interface Script {
  lua: string
  sha1: string
}

function script(lua: string): Script {
  return { lua, sha1: createHash('sha1').update(lua).digest('hex') }
}

/**
 * Writes the parts of a call whose guards hold. Checks all guards before it writes. Returns `{ 1 or 0 for
 * each part, 1 if the call was created, µs on the clock of Redis, all fields }`. KEYS: the call. ARGV: ttl
 * ms; ttl ms of a call with a listen that may still open; fresh µs; channel; then, for each part, the number
 * of its guards, messages and fields, the guards (`is` or `not`, field, json), the messages, and the fields
 * (name, version, json). The newer version of a field wins. A write whose version is less than `fresh` old
 * was just sent, so it counts as the latest write: its fields replace all except sealed fields, and its new
 * listens come after the existing listens. Therefore the clocks of the instances need not agree to the
 * millisecond.
 */
export const WRITE = script(`
local key, ttl, expected_ttl, fresh, channel = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function json (text)
  return text and string.sub(text, (string.find(text, ' ', 1, true) or 0) + 1) or ''
end

local parts, applied, written = {}, {}, false
local at = 5
while at <= #ARGV do
  local guards, messages, fields = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local applies = 1
  at = at + 3
  for i = at, at + guards * 3 - 1, 3 do
    local same = json(redis.call('HGET', key, ARGV[i + 1])) == ARGV[i + 2]
    if same ~= (ARGV[i] == 'is') then applies = 0 end
  end
  local first_message = at + guards * 3
  local first_field = first_message + messages
  at = first_field + fields * 3
  applied[#applied + 1] = applies
  if applies == 1 then
    parts[#parts + 1] = { first_message, first_field, at - 1 }
    written = written or fields > 0
  end
end

local created = written and 1 - redis.call('EXISTS', key) or 0
for _, part in ipairs(parts) do
  -- Lua passes no more than some thousand values at once.
  for first = part[2], part[3], 3000 do
    local last = math.min(first + 2999, part[3])
    local names, writes = {}, {}
    for i = first, last, 3 do names[#names + 1] = ARGV[i] end
    local stored = redis.call('HMGET', key, unpack(names))
    for i = 1, #names do
      local field = first + (i - 1) * 3
      local version = ARGV[field + 1]
      local own = tonumber(version)
      local other = stored[i] and (tonumber(string.match(stored[i], '^%d+')) or 0) or -1
      if own <= other and own > 0 and now - own < fresh and other < ${SEAL} then version, own = string.format('%.0f', other + 1), other + 1 end
      local value = ARGV[field + 2]
      if fresh > 0 and string.sub(names[i], -2) == ':#' then value = string.gsub(value, '%d+', string.format('%.0f', now), 1) end
      if own > other then
        writes[#writes + 1] = names[i]
        writes[#writes + 1] = version .. ' ' .. value
      end
    end
    if #writes > 0 then redis.call('HSET', key, unpack(writes)) end
  end
  for i = part[1], part[2] - 1 do redis.call('PUBLISH', channel, ARGV[i]) end
end

local all = redis.call('HGETALL', key)
if written then
  local ended, expected = false, false
  for i = 1, #all, 2 do
    if all[i] == 'c:endedAt' then ended = true
    elseif string.sub(all[i], 1, 2) == 'l:' and string.sub(all[i], -6) == ':state' and json(all[i + 1]) == '"expected"' then expected = true end
  end
  local keep = (expected and not ended) and expected_ttl or ttl
  if fresh > 0 or redis.call('PTTL', key) < keep then redis.call('PEXPIRE', key, keep) end
end
return { applied, created, string.format('%.0f', now), all }
`)

/**
 * Writes the heartbeat of an instance. Returns `{ µs on the clock of Redis, the time at which the instance's
 * last heartbeat expires or '', names of expired instances }`. KEYS: the instances, by the ms at which their
 * last heartbeat expires. ARGV: this instance; ttl ms; ms that expired instances are remembered; 1 after this
 * instance was cut off. If all instances have expired, the store was away, so the ttl of each begins again.
 * If this instance was cut off, the other instances may have been cut off, too, so their ttls begin again. A
 * ttl is renewed in this way only once before the instance's next heartbeat. If it were renewed more often,
 * an instance that is often cut off would keep dead instances from expiring. An expiry with half a
 * millisecond marks an instance whose ttl was renewed in this way.
 */
export const BEAT = script(`
local key, name, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = redis.call('ZSCORE', key, name)
local newest = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]
local all_expired = newest and tonumber(newest) < now
if all_expired or ARGV[4] == '1' then
  local others = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #others, 2 do
    if all_expired or tonumber(others[i + 1]) % 1 == 0 then redis.call('ZADD', key, 'GT', now + ttl + 0.5, others[i]) end
  end
end
redis.call('ZADD', key, now + ttl, name)
redis.call('ZREMRANGEBYSCORE', key, '-inf', now - tonumber(ARGV[3]))
return { string.format('%.0f', time[1] * 1000000 + time[2]), before or '', redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. now) }
`)

/** Runs a script on one key. Sends the text of the script only to a server that does not have it yet. */
export async function run(
  client: RedisCommands,
  { lua, sha1 }: Script,
  key: string,
  args: readonly string[]
): Promise<unknown> {
  try {
    return await client.evalsha(sha1, 1, key, ...args)
  } catch (err) {
    if (!isError(err) || !err.message.startsWith('NOSCRIPT')) throw err
    return await client.eval(lua, 1, key, ...args)
  }
}

export interface WriteOptions {
  keys: Keys
  clock: Clock
  /** ms that the call is kept */
  ttl: number
  /** ms that the call is kept if the socket of one of its listens may still open */
  expectedTtl: number
  /**
   * maximum age, ms, of a change that counts as the latest; 0 for a change that was pending while the store
   * was away
   */
  fresh: number
}

export interface ScriptResult {
  /** for each part: true if it was written */
  applied: boolean[]
  created: boolean
  /** all fields of the call */
  stored: Array<[name: string, text: string]>
}

/**
 * Writes a change of a call to Redis with one command. Wakes, on all instances, the waiters of the changed
 * listens.
 */
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
