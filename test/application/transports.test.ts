import { readdirSync, readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { simulateCall, type CallStory } from '../../lib/simulator/index.js'
import { APPLICATIONS, ELSEWHERE, outcomeOf, type Application } from '../helpers/applications/index.js'
import { build } from '../helpers/build.js'
import { until } from '../helpers/until.js'

// Calls each application in the table of test/helpers/applications over both transports. The outcomes must be
// equal.

// These tests spend most of their time waiting, so they run side by side.
t.jobs = 4

/** Returns the story without the values that differ from call to call or from transport to transport. */
function told(story: CallStory, { fails }: Application): Record<string, unknown> {
  return {
    // If the call must fail, only the number of its errors is compared, because an error contains the path of
    // a socket, which differs from call to call.
    errors: fails ? story.errors.length : story.errors,
    hangupBy: story.hangupBy,
    verbs: story.verbs.map(({ verb, data }) => ({ verb, text: data.text, length: data.length })),
    requests: story.requests.filter(({ kind }) => kind !== 'status').map(({ kind }) => kind),
    statuses: story.requests
      .filter(({ kind }) => kind === 'status')
      .map(({ payload }) => (payload as { call_status: string }).call_status),
    listens: story.listens.map(({ role, mixType, sampleRate, closedBy, closeCode, sent }) => ({
      role,
      mixType,
      sampleRate,
      closedBy,
      closeCode,
      bytes: sent.bytes > 0
    }))
  }
}

const byText = (a: unknown, b: unknown) => (String(JSON.stringify(a)) < String(JSON.stringify(b)) ? -1 : 1)

/** Returns the results of a call without the values that may differ between the transports. */
function without<T extends { story: Record<string, unknown>; callStatus: unknown }>(
  outcome: T,
  differs: Application['differs'] = {}
): T {
  return {
    ...outcome,
    ...('callStatus' in differs && { callStatus: undefined }),
    ...('hangupBy' in differs && { story: { ...outcome.story, hangupBy: undefined } })
  }
}

for (const application of APPLICATIONS) {
  const { title, from, options = () => ({}), routes, host, call, differs, fails } = application
  t.test(`over both transports: ${title} (${from})`, { buffered: true }, async (t) => {
    const run = async (transport: 'http' | 'websocket') => {
      const seen: unknown[] = []
      const scopes: FastifyInstance[] = []
      const addRoutes = (scope: FastifyInstance): unknown => {
        scopes.push(scope)
        return routes(scope, seen)
      }
      const { app, hook } =
        host === undefined
          ? { app: await build(t, options()), hook: '/call' }
          : await host(t, options(), addRoutes)
      if (host === undefined) await addRoutes(app)
      const { calls } = scopes[0]!.jambonz
      const story = await simulateCall({ app, hook, transport, ...call })
      if (call?.statusHook !== undefined) {
        await until(async () => (await calls.get(story.callSid))?.endedAt, 'the end of the call')
      }
      await until(async () => {
        const { listens = [] } = (await calls.get(story.callSid)) ?? {}
        return listens.every(({ state }) => state === 'ended')
      }, 'the ends of the listens')
      const { listens, callStatus, endedAt } = (await calls.get(story.callSid))!
      // If a call has no statusHook, the close of its websocket ends the call, two seconds later. Over HTTP
      // there is no such close.
      const closeEndedIt =
        transport === 'websocket' && call?.statusHook === undefined && endedAt !== undefined
      if (!application.inRealTime) {
        t.strictSame(
          listens.map(({ audio }) => audio.bytes).sort(),
          story.listens.map(({ sent }) => sent.bytes).sort(),
          `every byte that was sent over ${transport} has arrived`
        )
      }
      // Sorted, because the hooks of a dial and of its listen may arrive in either order.
      seen.sort(byText)
      const outcomes = listens.map((listen) => outcomeOf(listen, application.inRealTime))
      return { seen, story: told(story, application), listens: outcomes, callStatus, closeEndedIt }
    }
    const [{ closeEndedIt: _, ...http }, { closeEndedIt, ...websocket }] = await Promise.all([
      run('http'),
      run('websocket')
    ])
    if (closeEndedIt) {
      t.equal(websocket.callStatus, 'completed')
      websocket.callStatus = http.callStatus
    }
    if (!fails) t.strictSame(http.story, { ...http.story, errors: [] }, 'the call has no errors')
    t.strictSame(without(websocket, differs), without(http, differs))
    t.ok(http.listens.length > 0)
  })
}

t.test(
  'every test file and page with a listen is in the table of applications, or in the list ELSEWHERE with a reason',
  { buffered: true },
  async (t) => {
    const tests = readdirSync('test', { recursive: true, encoding: 'utf8' })
      .map((name) => `test/${name}`)
      .filter((name) => name.endsWith('.test.ts'))
    const pages = readdirSync('docs', { recursive: true, encoding: 'utf8' })
      .map((name) => `docs/${name}`)
      .filter((name) => name.endsWith('.md'))
    const listening = [...tests, ...pages, 'README.md'].filter((name) =>
      /verb: '(?:listen|stream)'|askForListen|\.listen\(\{ url/.test(readFileSync(name, 'utf8'))
    )
    const known = [...APPLICATIONS.map(({ from }) => from), ...Object.keys(ELSEWHERE)]
    for (const name of listening) {
      t.ok(
        known.some((path) => name.startsWith(path)),
        `${name}: add its application to test/helpers/applications/`
      )
    }
    for (const { from, title } of APPLICATIONS) {
      t.ok([...tests, ...pages, 'README.md'].includes(from), `${title} is from ${from}`)
    }
  }
)
