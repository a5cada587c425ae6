import assert from 'node:assert/strict'
import { Value } from '@sinclair/typebox/value'
import fc from 'fast-check'
import { CallSchema } from '../../lib/index.js'
import { callOf } from '../../lib/store/redis/fields.js'
import { parseListenName, readMessage } from '../../lib/store/redis/keys.js'
import { nothingToEnd, type FuzzTarget } from './target.js'

const CALL = 'the-call'
const CALL_FIELDS = Object.keys(CallSchema.properties)
const LISTEN_FIELDS = Object.keys(CallSchema.properties.listens.items.properties)

const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...CALL_FIELDS, 'application').map((field) => `c:${field}`) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom('l1', 'l2', '__proto__', ''), fc.constantFrom(...LISTEN_FIELDS, '#', 'keyed'))
      .map(([id, field]) => `l:${id}:${field}`)
  },
  { weight: 1, arbitrary: fc.string().map((key) => `d:${key}`) },
  { weight: 1, arbitrary: fc.string() }
)
const value = fc.oneof(
  { weight: 4, arbitrary: fc.jsonValue({ maxDepth: 2 }).map((json) => `17 ${JSON.stringify(json)}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('17 "ended"', '17 "silence"', '17 true', '17 8000', '', ' ', '17 ')
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) }
)

/**
 * Random values are in Redis. A call that is read must still have the shape of a call and its own id. Any
 * text that is published must be handled as a valid message or ignored.
 */
export const storeDamage: FuzzTarget = {
  name: 'storeDamage',
  share: 3,
  async begin() {
    return {
      property: fc.property(
        fc.array(fc.tuple(name, value), { maxLength: 12 }),
        fc.string(),
        (fields, text) => {
          const call = callOf(CALL, new Map(fields))
          const [wrong] = Value.Errors(CallSchema, call)
          assert.equal(wrong, undefined, `${wrong?.path} ${wrong?.message}`)
          assert.equal(call.callSid, CALL)
          for (const { callSid } of call.listens) assert.equal(callSid, CALL)
          assert.equal(Object.getPrototypeOf(call), Object.prototype)
          for (const said of [text, ...fields.map(([, written]) => written.slice(3))]) {
            readMessage(said)
            parseListenName(said)
          }
        }
      ),
      end: nothingToEnd
    }
  }
}
