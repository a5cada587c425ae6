import { Agent } from 'node:http'
import { answerParent } from '../harness/rpc.js'
import { callSidOf, payloadOf, post, type Verb } from './jambonz.js'
import { SocketSession } from './SocketSession.js'

/**
 * How jambonz asks the application. `websocket`: one socket per call. `http`: jambonz' default, with two clients per
 * call: one for its webhook and hooks, one for its status events. Each keeps one connection alive until the end of the
 * call (feature-server lib/utils/http-requestor.js, lib/middleware.js). `pooled`: jambonz' option HTTP_POOL, with 10
 * connections that all calls share.
 */
export type Transport = 'websocket' | 'http' | 'pooled'

export interface SessionOptions {
  port: number
  transport: Transport
  calls: number
  /** calls that are live at the same time */
  atOnce: number
}

const WEBHOOK = '/record'
const STATUS_HOOK = '/status'
/** default number of HTTP_POOL's connections */
const POOL_SIZE = 10

/** a call that has received its first verbs */
interface LiveCall {
  end(): Promise<void>
}

let begun = 0
let held: LiveCall[] = []

const methods = {
  /** Runs calls from their webhook to their last status event. */
  async run(options: SessionOptions): Promise<void> {
    const { begin, close } = caller(options)
    try {
      await inParallel(options, async () => (await begin()).end())
    } finally {
      close()
    }
  },

  /** Begins calls, which are live until `endAll()`. */
  async begin(options: SessionOptions): Promise<void> {
    const { begin, close } = caller(options)
    try {
      await inParallel(options, async () => {
        held.push(await begin())
      })
    } finally {
      close()
    }
  },

  async endAll(): Promise<void> {
    const ending = held
    held = []
    for (const call of ending) await call.end()
  }
}
export type SessionMethods = typeof methods

answerParent(methods)

async function inParallel({ calls, atOnce }: SessionOptions, run: () => Promise<void>): Promise<void> {
  let left = calls
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0) await run()
    })
  )
}

/** Returns a function that begins a call, and one that closes the calls' shared connections. */
function caller({ port, transport }: SessionOptions): { begin: () => Promise<LiveCall>; close: () => void } {
  if (transport === 'websocket') return { begin: () => beginOverSocket(port), close: () => {} }
  if (transport === 'http') {
    return {
      begin: () => beginOverHttp(port, connections(1), connections(1), (agents) => agents.forEach(destroy)),
      close: () => {}
    }
  }
  const pool = connections(POOL_SIZE)
  return { begin: () => beginOverHttp(port, pool, pool, () => {}), close: () => pool.destroy() }
}

function connections(maxSockets: number): Agent {
  return new Agent({ keepAlive: true, maxSockets })
}

function destroy(agent: Agent): void {
  agent.destroy()
}

async function beginOverSocket(port: number): Promise<LiveCall> {
  const payload = nextPayload()
  const session = await SocketSession.open(port, WEBHOOK, String(payload.call_sid))
  const hook = hookIn(await session.ask('session:new', payload))
  session.send('call:status', status(payload, 'trying'))
  session.send('call:status', status(payload, 'in-progress'))
  return {
    async end() {
      await session.ask('verb:hook', status(payload, 'in-progress'), hook)
      session.send('call:status', ended(payload))
      await session.close()
    }
  }
}

async function beginOverHttp(
  port: number,
  requestor: Agent,
  notifier: Agent,
  release: (agents: readonly Agent[]) => void
): Promise<LiveCall> {
  const payload = nextPayload()
  const notify = (event: object): Promise<unknown> =>
    post({ port, path: STATUS_HOOK, agent: notifier }, event)
  const hook = hookIn(await post({ port, path: WEBHOOK, agent: requestor }, payload))
  await notify(status(payload, 'trying'))
  await notify(status(payload, 'in-progress'))
  return {
    async end() {
      await post({ port, path: hook, agent: requestor }, status(payload, 'in-progress'))
      await notify(ended(payload))
      release([requestor, notifier])
    }
  }
}

function nextPayload(): Record<string, unknown> {
  return payloadOf(callSidOf(begun++))
}

/** Returns the fields of a call in its later messages. A hook without a duration says that its listen had no socket. */
function status(payload: Record<string, unknown>, callStatus: string): object {
  const { sip: _sip, defaults: _defaults, ...call } = payload
  return { ...call, call_status: callStatus }
}

function ended(payload: Record<string, unknown>): object {
  return { ...status(payload, 'completed'), call_termination_by: 'caller', duration: 1 }
}

function hookIn(verbs: unknown): string {
  const hook = (verbs as Verb[]).find(({ verb }) => verb === 'listen')?.actionHook
  if (hook === undefined) throw new Error(`no listen was answered: ${JSON.stringify(verbs)}`)
  return hook
}
