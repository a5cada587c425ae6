import t from 'tap'
import { ExpectedListens, Pace } from '../../lib/listening/LiveListens.js'
import { memoryStore } from '../../lib/store/memory.js'

t.test('listens whose sockets do not come do not slow down the next answers', async (t) => {
  const real = performance.now
  t.teardown(() => {
    performance.now = real
  })
  let now = 0
  performance.now = () => now
  const expected = new ExpectedListens(memoryStore())
  let answered = 0
  // Adds a listen for each of `count` answers, at 5,000 answers a second. Returns the ms of CPU used.
  const answers = (count: number): number => {
    const before = process.cpuUsage()
    for (let i = 0; i < count; i++) {
      now += 0.2
      expected.add(`listen-${answered++}`)
    }
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1_000
  }
  const first = answers(50_000)
  answers(150_000)
  const last = answers(50_000)
  t.ok(last < 20 * first + 200, `${last} ms of CPU for 50,000 answers, ${first} ms for the first ones`)
  t.ok(expected.size <= 75_001, 'old listens are forgotten')
})

t.test(
  'a socket that does not close holds back the handover of the other listens only for a moment',
  async (t) => {
    const begun = performance.now()
    await new Pace().add(new Promise(() => {}))
    t.ok(performance.now() - begun >= 250)
  }
)
