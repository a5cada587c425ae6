import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { buildApp } from '../../example-app/app.js'
import { readEnvironment } from '../../example-app/environment.js'
import { folder } from './build.js'
import { openMonitor, type MonitorPage } from './monitorPage.js'

/**
 * Starts the example application, which is closed at the end of the test. Recordings go to a new folder,
 * unless `env` names a folder.
 */
export async function exampleApp(t: Test, env: NodeJS.ProcessEnv = {}): Promise<FastifyInstance> {
  const app = await buildApp(readEnvironment({ RECORDINGS_DIR: folder(), ...env }))
  t.teardown(() => app.close())
  return app
}

/**
 * Opens a websocket to the example application, as its page does. `headers`: credentials, if the application
 * has a password.
 */
export async function openDesk(
  t: Test,
  address: string,
  headers: Record<string, string> = {}
): Promise<MonitorPage> {
  const { ticket } = (await (await fetch(`${address}/ticket`, { headers })).json()) as { ticket: string }
  return await openMonitor(t, `${address}/live?ticket=${ticket}`)
}
