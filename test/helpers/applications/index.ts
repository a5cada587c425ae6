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
  'drives webhook, socket and hook by hand, one request after the other: its listens are those of the table, their order over sockets is in answers.test.ts'
const PEERS =
  "its applications are peers of the simulator, without the plugin; websocket.test.ts has the socket's"

/** Files and pages that contain a listen but are not in the table, each with the reason. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  'test/application/': 'is about a transport itself',
  'test/listenVerb.test.ts': 'runs each of its rows over both by itself',
  'test/verbs/rooms.test.ts': 'runs over both by itself',
  'test/verbs/': 'prepares verbs without a call',
  'test/correlation/': BY_HAND,
  'test/routes/immunity.test.ts':
    'its hosts change parsing and routing of HTTP; hosts.ts has those that people have',
  'test/metrics/metrics.test.ts': BY_HAND,
  'test/monitor/liveMonitor.test.ts': BY_HAND,
  'test/logs.test.ts': BY_HAND,
  'test/plugin.test.ts': BY_HAND,
  'test/tracing/': 'compares spans with those of HTTP by itself',
  'test/simulator/': PEERS,
  'test/bundle.test.ts': 'bundles the plugin: one call shows that it starts',
  'test/handover.test.ts':
    'three instances; test/soak/transports.test.ts takes its calls over both at random',
  'test/soak/': 'takes its calls over both at random, or packs and installs the plugin',
  'test/operations/': 'runs the application of docs/operations/cluster.md behind balancers',
  'test/types/editor.test.ts': 'asks an editor, no call',
  'test/audio/agent.test.ts': 'measures times to the sample, whatever asked for the listen',
  'test/audio/fastReader.test.ts': 'reads sockets with and without ws, whatever asked for the listen'
}
