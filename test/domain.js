import { executionAsyncResource } from 'node:async_hooks'

/** the test that contains all others */
let root
const isStrict = process.execArgv.includes('--unhandled-rejections=strict')

/** Returns the newest test that runs inside `test`, or `test` itself if none runs. */
function runningIn(test) {
  const inner = [...(test.activeSubtests ?? [])].at(-1)
  return inner === undefined ? test : runningIn(inner)
}

/** Lets an error that nothing has caught fail the test that runs, and keeps the process alive. */
function onError(err, origin) {
  if (process.hasUncaughtExceptionCaptureCallback() || process.listenerCount('uncaughtException') > 0) return
  runningIn(root).hookDomain.onerror(err, origin)
  process.setUncaughtExceptionCaptureCallback(() => process.setUncaughtExceptionCaptureCallback(null))
  // In this mode, Node.js warns of a rejection that has no listener, although it has thrown the rejection.
  if (isStrict && origin === 'unhandledRejection') process.once('unhandledRejection', () => {})
}

/**
 * Takes the place of the package async-hook-domain in tap (test/compile.js). tap creates a domain per test. An
 * error that nothing has caught fails the test that runs. async-hook-domain finds the test that caused the
 * error, but its async hooks take an eighth of the CPU of all tests.
 */
export class Domain {
  constructor(onerror) {
    this.onerror = onerror
    if (root !== undefined) return
    // tap creates the first domain in the async resource of the test that contains all others.
    root = executionAsyncResource().test
    process.on('uncaughtExceptionMonitor', onError)
  }

  destroy() {}
}
