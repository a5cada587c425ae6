import { createHash } from 'node:crypto'
import type { RedisCommands } from './client.js'
import { SEAL } from './fields.js'

interface Script {
  lua: string
  sha1: string
}

function script(lua: string): Script {
  return { lua, sha1: createHash('sha1').update(lua).digest('hex') }
}

/**
 * Writes fields of one call, the guarded ones if every guard holds; answers `{ applied, created, µs on its clock, all
 * fields }`. KEYS: the call. ARGV: ttl ms, fresh µs, channel, number of guards, of messages, of fields that are guarded;
 * guards (`is` or `not`, field, json); messages; fields (name, version, json), the guarded ones first.
 * A field's newer version wins. A version that is younger than `fresh` is that of a write on its way to us, which
 * is the latest by that, and its listens come after those that are there: instances' clocks need not agree to the
 * millisecond. Over what is sealed it is not.
 */
export const WRITE = script(`
local key, ttl, fresh, channel = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local guards, messages, guarded = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local first_message = 7 + guards * 3
local first_field = first_message + messages
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function json (text)
  return text and string.sub(text, string.find(text, ' ', 1, true) + 1) or ''
end

local applies = true
for i = 7, first_message - 1, 3 do
  local same = json(redis.call('HGET', key, ARGV[i + 1])) == ARGV[i + 2]
  if same ~= (ARGV[i] == 'is') then applies = false end
end
if not applies then first_field = first_field + guarded * 3 end

local created = 0
if first_field <= #ARGV then
  created = 1 - redis.call('EXISTS', key)
  local names, writes = {}, {}
  for i = first_field, #ARGV, 3 do names[#names + 1] = ARGV[i] end
  local stored = redis.call('HMGET', key, unpack(names))
  for i = 1, #names do
    local at = first_field + (i - 1) * 3
    local version = ARGV[at + 1]
    local own = tonumber(version)
    local other = stored[i] and tonumber(string.match(stored[i], '^%d+')) or -1
    if own <= other and own > 0 and now - own < fresh and other < ${SEAL} then version, own = string.format('%.0f', other + 1), other + 1 end
    local value = ARGV[at + 2]
    if fresh > 0 and string.sub(names[i], -2) == ':#' then value = string.gsub(value, '%d+', string.format('%.0f', now), 1) end
    if own > other then
      writes[#writes + 1] = names[i]
      writes[#writes + 1] = version .. ' ' .. value
    end
  end
  if #writes > 0 then redis.call('HSET', key, unpack(writes)) end
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
  for i = first_message, first_message + messages - 1 do redis.call('PUBLISH', channel, ARGV[i]) end
end
return { applies and 1 or 0, created, string.format('%.0f', now), redis.call('HGETALL', key) }
`)

/**
 * An instance's sign of life; answers `{ µs on its clock, when this instance's last one would have expired or '', names
 * of instances whose last one has }`.
 * KEYS: the instances, by the ms their last beat expires. ARGV: this instance, ttl ms, ms that expired ones are
 * remembered, 1 after this instance was cut off.
 * Where all have expired it was the store that was away, not they: they all get their time again. So they do where one
 * was cut off, as the others may have been; but only once without a beat of their own, which the half millisecond tells:
 * one that comes and goes must not hide for ever that another is dead.
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

/** Runs a script of one key; its text goes to a server that does not have it yet. */
export async function run(
  client: RedisCommands,
  { lua, sha1 }: Script,
  key: string,
  args: readonly string[]
): Promise<unknown> {
  try {
    return await client.evalsha(sha1, 1, key, ...args)
  } catch (err) {
    if (!(err instanceof Error) || !err.message.startsWith('NOSCRIPT')) throw err
    return await client.eval(lua, 1, key, ...args)
  }
}
