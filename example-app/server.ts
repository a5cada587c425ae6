import closeWithGrace from 'close-with-grace'
import { buildApp } from './app.js'
import { readEnvironment } from './environment.js'

/** ms beyond the drain: calls are ended and their recordings written. */
const CLOSE_WITHIN = 15_000

try {
  const environment = readEnvironment()
  const drainMs = environment.DRAIN_SECONDS * 1000
  const app = await buildApp(environment, { logger: true })
  closeWithGrace({ delay: drainMs + CLOSE_WITHIN, logger: app.log }, async ({ err }) => {
    if (err) app.log.error({ err }, 'closing after an error')
    // Several instances: what still streams goes on at another one.
    else await app.jambonz.drain(drainMs, { handover: environment.REDIS_URL !== undefined })
    await app.close()
  })
  await app.listen({ host: environment.HOST, port: environment.PORT })
} catch (err) {
  process.stderr.write(`The example could not start: ${(err as Error).message}\n`)
  process.exit(1)
}
