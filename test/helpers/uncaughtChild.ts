import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'

// Tests with errors that no code catches. test/domain.test.ts runs them in a process of their own.

t.test('an error is thrown', async () => {
  process.nextTick(() => {
    throw new Error('nobody catches this error')
  })
  await turn()
})

t.test('a promise rejects', async () => {
  Promise.reject(new Error('nobody awaits this promise'))
  await turn()
})

t.test('an error is thrown inside another test', async (t) => {
  await t.test('the test inside', async () => {
    process.nextTick(() => {
      throw new Error('nobody catches this error inside')
    })
    await turn()
  })
  await t.test('the test beside it', async (t) => {
    t.pass('no error')
  })
})

t.test('the test listens for the error', async (t) => {
  const caught: unknown[] = []
  const listener = (err: unknown): void => {
    caught.push(err)
  }
  process.on('uncaughtException', listener)
  const error = new Error('the test catches this error')
  process.nextTick(() => {
    throw error
  })
  await turn()
  process.off('uncaughtException', listener)
  t.strictSame(caught, [error])
})

t.test('the last test', async (t) => {
  t.pass('no error')
})
