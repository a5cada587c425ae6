import { buildApp } from './app.js'
import { readEnvironment } from './environment.js'
import { shutDownOnSignals } from './shutDown.js'

try {
  const environment = readEnvironment()
  const app = await buildApp(environment, { logger: true })
  shutDownOnSignals(app, {
    drainMs: environment.DRAIN_SECONDS * 1000,
    // If there are several instances (with one Redis), live calls continue on another instance.
    handover: environment.REDIS_URL !== undefined
  })
  await app.listen({ host: environment.HOST, port: environment.PORT })
} catch (err) {
  process.stderr.write(`The example could not start: ${(err as Error).message}\n`)
  process.exit(1)
}
