import type { FastifyInstance } from 'fastify'

/**
 * ms in which a second signal counts as the same signal. A terminal sends Ctrl-C both to npm and to this
 * process, and npm passes its signal on to this process.
 */
const SAME_SIGNAL = 500
/** ms between two checks whether npm is still running */
const LOOK_AT_PARENT = 1_000
/** ms after the drain in which calls are ended and recordings are written */
const CLOSE_WITHIN = 15_000

export interface ShutDownOptions {
  /** ms that live calls get to end by themselves */
  drainMs: number
  /** true: other instances take over the calls */
  handover: boolean
}

/**
 * Makes signals end the process properly: with every recording complete, and exit code 0. SIGTERM and SIGINT
 * give live calls `drainMs` to end. A second signal ends the calls at once, and a third signal the process.
 * An uncaught error ends the process in the same way, with exit code 1.
 */
export function shutDownOnSignals(app: FastifyInstance, { drainMs, handover }: ShutDownOptions): void {
  let signals = 0
  let lastAt = -Infinity

  const onSignal = (signal: string) => {
    if (performance.now() - lastAt < SAME_SIGNAL) return
    lastAt = performance.now()
    signals++
    if (signals === 1) {
      app.log.info({ signal, drainMs }, 'stopping: live calls have this long to end')
      exitAfter(drainMs, async () => {
        await app.jambonz.drain(drainMs, { handover })
        await app.close()
      })
    } else if (signals === 2) {
      app.log.warn({ signal }, 'told again to stop: live calls are ended now')
      app.jambonz.drain(0).catch((err: unknown) => app.log.error({ err }, 'the drain failed'))
    } else {
      app.log.error({ signal }, 'told a third time to stop: what is not written is lost')
      process.exit(1)
    }
  }
  // The handlers are not removed, so that a later signal can't kill the process while it writes.
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal)
  watchNpm(() => onSignal('npm is gone'))

  const onError = (err: unknown) => {
    app.log.fatal({ err }, 'stopping after an error that nobody caught')
    process.exitCode = 1
    if (signals++ === 0) exitAfter(0, () => app.close())
  }
  process.once('uncaughtException', onError).once('unhandledRejection', onError)

  async function exitAfter(ms: number, close: () => Promise<unknown>): Promise<void> {
    setTimeout(() => {
      app.log.error('closing took too long')
      process.exit(1)
    }, ms + CLOSE_WITHIN).unref()
    await close().catch((err: unknown) => {
      app.log.error({ err }, 'could not close in order')
      process.exitCode = 1
    })
    process.exit()
  }
}

/**
 * Calls `onGone` once if npm started this process and has ended. This is needed because npm sends no signal
 * if it is killed with -9.
 */
function watchNpm(onGone: () => void): void {
  if (process.env.npm_lifecycle_event !== 'start') return
  const npm = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === npm) return
    clearInterval(timer)
    onGone()
  }, LOOK_AT_PARENT).unref()
}
