import { mkdtemp, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseWav, simulateCall, type CallStory, type SimulatedCall } from 'fastify-jambonz-listen/simulator'
import type { Listen } from 'fastify-jambonz-listen'
import { startInstance, startRedis, type Instance } from './cluster/processes.js'
import { RoundRobin } from './cluster/RoundRobin.js'

const CALLS = 6
const SPEECH = join(import.meta.dirname, 'audio', 'caller.wav')
const WEBHOOK_SECRET = 'the webhook secret of the demo'

/**
 * The recording of a listen. If the listen was handed over, `segments` lists one file for each of its
 * sockets.
 */
type SavedRecording = NonNullable<Listen['recording']> & {
  segments?: Array<{ location: string; gapBeforeMs: number }>
}

/**
 * Names of the instances that got a call's requests, by callSid and kind of request (key: `<callSid>
 * webhook`).
 */
type Routes = Map<string, string[]>

/**
 * Starts three instances of the example application with one Redis and a plain round-robin load balancer, and
 * makes calls. Then it replaces all instances one by one (a rolling restart) during more calls.
 */
async function demo(): Promise<void> {
  const directory = process.env.RECORDINGS_DIR ?? (await mkdtemp(join(tmpdir(), 'voicemail-')))
  const redis = process.env.REDIS_URL === undefined ? await startRedis() : undefined
  const env = {
    REDIS_URL: process.env.REDIS_URL ?? redis?.url,
    SECRET: 'signs the paths of all instances',
    JAMBONZ_WEBHOOK_SECRET: WEBHOOK_SECRET,
    AUDIO_PASSWORD: 'demo',
    RECORDINGS_DIR: directory,
    DRAIN_SECONDS: '5'
  }
  const instances: Instance[] = []
  const balancer = new RoundRobin()
  try {
    say('Three instances, a Redis, a round-robin in front')
    instances.push(...(await Promise.all(['A', 'B', 'C'].map((name) => startInstance(name, env)))))
    balancer.ports.push(...instances.map(({ port }) => port))
    const url = await balancer.listen()

    say(
      `${CALLS} callers leave a message: webhook, audio socket and actionHook go to whichever instance is next`
    )
    const routes = watch(balancer, instances)
    const stories = await Promise.all(Array.from({ length: CALLS }, () => leaveMessage(url, '#')))
    for (const story of stories) await report(story, directory, routes)

    say(`${CALLS} more, and while they speak each instance is replaced by a new one`)
    routes.clear()
    const calls = Array.from({ length: CALLS }, () => leaveMessage(url))
    await Promise.all(calls.map((call) => call.waitFor('listen:open', undefined, { timeoutMs: 60_000 })))
    await replaceAll(instances, balancer, env)
    for (const call of calls) call.press('#')
    for (const call of calls) await report(await call, directory, routes)
    say(`The recordings are in ${directory}`)
  } finally {
    await Promise.all(instances.map((instance) => instance.stop()))
    await balancer.close()
    await redis?.stop()
  }
}

function leaveMessage(url: string, press?: string): SimulatedCall {
  return simulateCall({
    url: `${url}/voicemail`,
    statusHook: '/status',
    webhookSecret: WEBHOOK_SECRET,
    speech: SPEECH,
    speed: 1,
    patienceMs: 60_000,
    ...(press && { press })
  })
}

/** Replaces all instances one by one: starts a new instance, then ends an old one. */
async function replaceAll(
  instances: Instance[],
  balancer: RoundRobin,
  env: NodeJS.ProcessEnv
): Promise<void> {
  for (const old of [...instances]) {
    const next = await startInstance(`${old.name}'`, env)
    instances.push(next)
    balancer.ports.push(next.port)
    process.stdout.write(`  ${next.name} is there, ${old.name} gets SIGTERM …`)
    await old.stop()
    balancer.ports.splice(balancer.ports.indexOf(old.port), 1)
    process.stdout.write(' and has handed its calls over\n')
  }
}

/** Records, from now on, to which instance the load balancer sends each request of a call. */
function watch(balancer: RoundRobin, instances: readonly Instance[]): Routes {
  const routes: Routes = new Map()
  balancer.onRouted = (url, port, body) => {
    const [what, callSid] = url.startsWith('/audio')
      ? ['socket', callSidOf(url)]
      : url.includes('listen=')
        ? ['hook', callSidOf(url)]
        : ['webhook', (JSON.parse(body.toString()) as { call_sid: string }).call_sid]
    if (url === '/status') return
    const key = `${callSid} ${what}`
    routes.set(key, [
      ...(routes.get(key) ?? []),
      instances.find((instance) => instance.port === port)?.name ?? '?'
    ])
  }
  return routes
}

/** Returns the callSid that is part of the listen id in a url. */
function callSidOf(url: string): string {
  return /[0-9a-f]{32}/.exec(url)?.[0].replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') ?? ''
}

async function report(story: CallStory, directory: string, routes: Routes): Promise<void> {
  const { callSid, listens } = story
  const listen = await sidecarOf(directory, callSid)
  const { durationMs, segments = [] } = listen.recording as SavedRecording
  const way = ['webhook', 'socket', 'hook'].map(
    (what) => `${what} ${(routes.get(`${callSid} ${what}`) ?? []).join(' ')}`
  )
  const gaps = segments.slice(1).map(({ gapBeforeMs }) => `${gapBeforeMs} ms`)
  const said = Buffer.concat(listens.map(({ sent }) => sent.pcm ?? Buffer.alloc(0)))
  const whole = (await recorded(listen)).equals(said)
  process.stdout.write(
    `  ${way.join('   ').padEnd(60)} ${(durationMs / 1000).toFixed(1)} s${gaps.length > 0 ? ` in ${segments.length} segments, interrupted for ${gaps.join(', ')}` : ''}${whole ? '' : ' DIFFERS from what was sent'}\n`
  )
  if (!whole) process.exitCode = 1
}

/** Finds the sidecar of a call's recording. Resolves to the Listen in it. */
async function sidecarOf(directory: string, callSid: string): Promise<Listen> {
  for (const name of await readdir(directory, { recursive: true })) {
    if (!name.endsWith('.json') || /\.\d+\.json$/.test(name)) continue
    const listen = JSON.parse(await readFile(join(directory, name), 'utf8')) as Listen
    if (listen.callSid === callSid) return listen
  }
  throw new Error(`nothing was recorded of call ${callSid}`)
}

async function recorded({ recording }: Listen): Promise<Buffer> {
  const { location, segments = [{ location }] } = recording as SavedRecording
  const parts = await Promise.all(
    segments.map(async ({ location }) => parseWav(await readFile(location)).samples)
  )
  return Buffer.concat(
    parts.map((samples) => Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength))
  )
}

function say(text: string): void {
  process.stdout.write(`\n${text}\n`)
}

await demo().catch((err: Error) => {
  process.stderr.write(`${err.message}\n`)
  process.exitCode = 1
})
