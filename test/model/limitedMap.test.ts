import t from 'tap'
import { LimitedMap } from '../../lib/model/json.js'

t.test('a full map drops the key that was set least recently, and only for a new key', async (t) => {
  const map = new LimitedMap<string, number>(2)
  map.set('a', 1).set('b', 2)
  t.strictSame(
    [...map.set('a', 3)],
    [
      ['b', 2],
      ['a', 3]
    ],
    'a known key drops no other key'
  )
  t.strictSame(
    [...map.set('c', 4)],
    [
      ['a', 3],
      ['c', 4]
    ]
  )
})
