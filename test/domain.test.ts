import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

const CHILD = join(import.meta.dirname, 'helpers/uncaughtChild.js')

t.test('an error that no code catches fails the test that runs, and the next tests run', async (t) => {
  const { code, stdout, stderr } = await new Promise<{ code: unknown; stdout: string; stderr: string }>(
    (resolve) =>
      execFile(
        process.execPath,
        ['--unhandled-rejections=strict', CHILD],
        { env: { ...process.env, TAP: '1' } },
        (err, stdout, stderr) => resolve({ code: err?.code, stdout, stderr })
      )
  )
  t.equal(code, 1)
  t.equal(stderr, '')
  // tap repeats the result of a failed test, so each result counts once.
  const results = new Set(
    Array.from(
      stdout.matchAll(/^ *((?:not )?ok) \d+ - (.*?)(?: # time=.*)?$/gm),
      ([, ok, name]) => `${ok}: ${name}`
    )
  )
  t.strictSame([...results].sort(), [
    'not ok: a promise rejects',
    'not ok: an error is thrown',
    'not ok: an error is thrown inside another test',
    'not ok: nobody awaits this promise',
    'not ok: nobody catches this error',
    'not ok: nobody catches this error inside',
    'not ok: the test inside',
    'ok: no error',
    'ok: should be equivalent strictly',
    'ok: the last test',
    'ok: the test beside it',
    'ok: the test listens for the error'
  ])
})
