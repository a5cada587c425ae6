import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import { Remote } from '../harness/rpc.js'
import type { ServerMethods } from './main.js'
import type { Serve } from './types.js'
import { sumOf, usage } from './usage.js'

/**
 * The plugin in several processes behind one port (node:cluster). The kernel decides which process gets a
 * connection.
 */
export const serveCluster: Serve = async ({ workers = 1, ...options }) => {
  cluster.setupPrimary({
    exec: fileURLToPath(new URL('main.js', import.meta.url)),
    execArgv: process.execArgv
  })
  const remotes: Array<Remote<ServerMethods>> = []
  let port = 0
  for (let n = 0; n < workers; n++) {
    const remote = new Remote<ServerMethods>(cluster.fork().process, `worker ${n}`)
    await remote.ready
    // All workers listen on port 0, for which node:cluster gives them the same port.
    port = await remote.ask('serve', { ...options, name: 'plugin' })
    remotes.push(remote)
  }
  return {
    port,
    recordings: async () => (await Promise.all(remotes.map((remote) => remote.ask('recordings')))).flat(),
    usage: async () => sumOf([usage(), ...(await Promise.all(remotes.map((remote) => remote.ask('usage'))))])
  }
}
