import closeWithGrace from 'close-with-grace'
import { buildApp } from './app.js'
import { readEnvironment } from './environment.js'

/** Long enough for live calls to be ended and their recordings to be written. */
const CLOSE_WITHIN = 15_000

try {
  const environment = readEnvironment()
  const app = await buildApp(environment, { logger: true })
  closeWithGrace({ delay: CLOSE_WITHIN, logger: app.log }, async ({ err }) => {
    if (err) app.log.error({ err }, 'closing after an error')
    await app.close()
  })
  await app.listen({ host: environment.HOST, port: environment.PORT })
} catch (err) {
  process.stderr.write(`The example could not start: ${(err as Error).message}\n`)
  process.exitCode = 1
}
