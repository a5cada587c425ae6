import { HOSTS } from '../../hosts/hosts.js'
import { AUDIO } from './audio.js'
import { DOCUMENTED } from './documented.js'
import { hangup, outcomeOf, recording, type Application } from './kit.js'
import { RECORDING } from './recordings.js'
import { ROUTES } from './routes.js'

export { outcomeOf, type Application } from './kit.js'

/** Applications on the Fastify hosts of test/hosts. Each receives the same call. */
const HOSTED: Application[] = HOSTS.map(({ name, build: buildHost }) => ({
  title: `an application on a host with ${name}`,
  from: 'test/hosts/hosts.test.ts',
  options: recording,
  routes: (scope, seen) => {
    scope.jambonz.webhook('/call', async () => [
      { verb: 'gather', input: ['digits'], numDigits: 1, timeout: 1, actionHook: `${scope.prefix}/gathered` },
      { verb: 'listen', actionHook: '/done/42', maxLength: 1 }
    ])
    scope.jambonz.webhook('/gathered', async ({ body }) => {
      seen.push((body as { reason?: unknown }).reason)
    })
    scope.jambonz.actionHook('/done/:order', async ({ listen, params }) => {
      seen.push(params, outcomeOf(listen))
      return hangup
    })
  },
  host: async (t, options, routes) => {
    const built = await buildHost(options, routes)
    t.teardown(() => built.app.close())
    return built
  }
}))

export const APPLICATIONS: readonly Application[] = [
  ...ROUTES,
  ...AUDIO,
  ...RECORDING,
  ...DOCUMENTED,
  ...HOSTED
]

const BY_HAND =
  'sends webhook, socket and hook by itself, one after the other; the table has such listens, and answers.test.ts has their order over a websocket'
const PEERS =
  'tests the simulator with applications that do not use the plugin; websocket.test.ts has those with a websocket'

/** Files and pages that contain a listen but are not in the table, each with the reason. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  'test/application/': 'tests one of the transports',
  'test/listenVerb.test.ts': 'runs each row over both transports by itself',
  'test/verbs/rooms.test.ts': 'runs over both transports by itself',
  'test/verbs/': 'prepares verbs without a call',
  'test/correlation/': BY_HAND,
  'test/routes/immunity.test.ts':
    'its hosts change how HTTP is parsed and routed; test/hosts/hosts.ts has the usual hosts',
  'test/metrics/metrics.test.ts': BY_HAND,
  'test/monitor/liveMonitor.test.ts': BY_HAND,
  'test/routes/clock.test.ts': BY_HAND,
  'test/logs.test.ts': BY_HAND,
  'test/plugin.test.ts': BY_HAND,
  'test/tracing/': 'compares the spans of both transports by itself',
  'test/simulator/': PEERS,
  'test/bundle.test.ts': 'tests a bundle of the plugin, for which one call is enough',
  'test/handover.test.ts':
    'tests several instances; test/soak/transports.test.ts uses both transports at random',
  'test/soak/': 'uses both transports at random, or packs and installs the plugin',
  'test/operations/': 'runs the application of docs/operations/cluster.md behind balancers',
  'test/types/editor.test.ts': 'asks an editor, and makes no call',
  'test/audio/agent.test.ts': 'measures times to the sample, which do not depend on the transport',
  'test/audio/fastReader.test.ts':
    'reads audio sockets with and without ws, which does not depend on the transport'
}
