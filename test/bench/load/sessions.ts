import { Agent } from 'node:http'
import { answerParent } from '../harness/rpc.js'
import { callSidOf, payloadOf, post, type Verb } from './jambonz.js'
import { SocketSession } from './SocketSession.js'

/**
 * How jambonz asks the application.
 * `websocket`: over one websocket per call.
 * `http`: over HTTP by default, with two clients per call, one for webhook and hooks, one for status events.
 * Each client keeps one connection open until the end of the call (feature-server
 * lib/utils/http-requestor.js, lib/middleware.js).
 * `pooled`: over HTTP with jambonz' option HTTP_POOL, which makes all calls share 10 connections.
 */
export type Transport = 'websocket' | 'http' | 'pooled'

export interface SessionOptions {
  port: number
  transport: Transport
  calls: number
  /** number of calls that are live at the same time */
  atOnce: number
}

const WEBHOOK = '/record'
const STATUS_HOOK = '/status'
/** number of connections of HTTP_POOL by default */
const POOL_SIZE = 10

/** A call that has received its first verbs. */
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

  /** Begins calls. They stay live until `endAll()`. */
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

/** Returns a function that begins a call, and a function that closes the connections that the calls share. */
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

/**
 * Returns the fields of a call in its later messages. They lack dial_call_duration, which in a hook means
 * that the listen had no socket.
 */
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
