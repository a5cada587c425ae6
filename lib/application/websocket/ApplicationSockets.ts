import type { FastifyInstance, FastifyRequest } from 'fastify'
import { WebSocketServer, type WebSocket } from 'ws'
import { callFields, isFinal, type Payload, type JambonzEventName } from '../../model/payloads.js'
import { ERR_COMMAND_TOO_LONG, ERR_MESSAGE_TOO_LONG } from '../../model/errors.js'
import { isoTime, withinMs } from '../../model/time.js'
import { hooksOfEndsCame } from '../../correlation/hookCame.js'
import type { HandlerResult } from '../../verbs/index.js'
import type { Application } from '../Application.js'
import { answerTo } from '../answer.js'
import type { CallChannel } from '../control/CallChannel.js'
import { StatusHooks } from '../hookUrls.js'
import { ApplicationSocket, CLOSE_PATIENCE, LEAVING } from './ApplicationSocket.js'
import {
  CLOSE,
  commandOf,
  DEADLINES,
  MAX_MESSAGE_BYTES,
  MAX_PAYLOAD,
  redirectsOf,
  SUBPROTOCOL,
  type SocketCommand,
  type SocketMessage,
  PendingAnswers,
  type PendingAnswer
} from './wire.js'

/** ms within which jambonz sends the actionHook of a listen that has ended */
const HOOK_PATIENCE = 3_000
/**
 * ms after jambonz closed a socket for good. If the call goes on, jambonz asks over HTTP or opens another
 * socket by then.
 */
const END_GRACE = 2_000
/** ms without a message after which a socket is closed if the store does not have its call any more */
const FORGOTTEN_AFTER = 4 * 3_600_000

export interface ApplicationSocketLimits {
  /** ms to wait for the first message of a socket */
  readonly metadataTimeout: number
  /** ms between two pings; 0 sends none */
  readonly heartbeat: number
  /** ms without a message after which a socket is closed if its call has ended */
  readonly socketIdle: number
}

/** The application websockets of one instance, by the calls that they reach. */
export class ApplicationSockets {
  readonly fastify: FastifyInstance
  readonly application: Omit<Application, 'sockets'>
  readonly server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MAX_PAYLOAD,
    handleProtocols: () => SUBPROTOCOL
  })
  #channel: CallChannel | undefined
  readonly #limits: ApplicationSocketLimits
  readonly #parseJson: ReturnType<FastifyInstance['getDefaultJsonParser']>
  readonly #statusHooks = new StatusHooks()
  readonly #all = new Set<ApplicationSocket>()
  readonly #byCall = new Map<string, ApplicationSocket>()
  /** the answers to session:new that were not sent yet */
  readonly pending: PendingAnswers
  /** The functions that write the ends of calls whose sockets jambonz has just closed for good. */
  readonly #ends = new Set<() => Promise<void>>()
  #idleTimer: NodeJS.Timeout | undefined
  #sealed = false
  #draining = false

  constructor(
    fastify: FastifyInstance,
    application: Omit<Application, 'sockets'>,
    limits: ApplicationSocketLimits
  ) {
    this.fastify = fastify
    this.application = application
    this.#limits = limits
    this.pending = new PendingAnswers(application.logger)
    this.#parseJson = fastify.getDefaultJsonParser('error', 'error')
  }

  /** The channel to the application websockets of all instances. */
  get channel(): CallChannel {
    if (this.#channel === undefined) throw new Error('the plugin is not ready')
    return this.#channel
  }

  /** Sets the channel. Called once, by the plugin. */
  useChannel(channel: CallChannel): void {
    this.#channel = channel
  }

  /** true if new sockets are refused */
  get sealed(): boolean {
    return this.#sealed
  }

  /** Refuses new sockets from now on. */
  seal(): void {
    this.#sealed = true
  }

  get size(): number {
    return this.#all.size
  }

  /**
   * Notes a statusHook and the Fastify instance that registered it, since a message call:status names no
   * statusHook.
   */
  addStatusHook(instance: FastifyInstance, path: string): void {
    this.#statusHooks.add(instance, path)
  }

  /** Adds a socket that has just been opened. */
  add(socket: WebSocket, request: FastifyRequest): void {
    const added = new ApplicationSocket(socket, request, this, this.#limits)
    this.#all.add(added)
    this.#idleTimer ??= setInterval(() => this.#closeIdle(), this.#limits.socketIdle).unref()
    // This socket was allowed before the drain, but has opened only now.
    if (this.#draining) added.leave()
  }

  /** Parses JSON like a body over HTTP. Returns undefined for JSON that Fastify's parser refuses. */
  parse(text: string): unknown {
    let parsed: unknown
    this.#parseJson({} as FastifyRequest, text, (err, body) => {
      if (err === null) parsed = body
    })
    return parsed
  }

  /** Sets the socket that commands of the call are sent on from now on. */
  current(callSid: string | undefined, socket: ApplicationSocket): void {
    if (callSid === undefined) return
    this.#byCall.set(callSid, socket)
    socket.calls.add(callSid)
  }

  /** Returns true if this instance has an open socket of the call. */
  holds(callSid: string): boolean {
    return this.#byCall.get(callSid)?.open === true
  }

  /** Sends a command. Resolves to true when it was sent, and to false if this instance has no socket of the call. */
  async command(callSid: string, command: SocketCommand): Promise<boolean> {
    const text = commandOf(command)
    const bytes = Buffer.byteLength(text)
    if (bytes > MAX_MESSAGE_BYTES) throw new ERR_COMMAND_TOO_LONG(MAX_MESSAGE_BYTES, command.command, bytes)
    return await this.#send(callSid, [text])
  }

  /**
   * Sends new verbs, prepared like those of a handler. Resolves to true when they were sent, and to false if this
   * instance has no socket of the call. Throws FST_JAMBONZ_VERB_INVALID, and FST_JAMBONZ_MESSAGE_TOO_LONG for a verb
   * that is longer than jambonz takes.
   */
  async redirect(callSid: string, result: HandlerResult, queue: boolean): Promise<boolean> {
    const socket = this.#byCall.get(callSid)
    if (socket?.open !== true) return false
    const verbs = await answerTo(this.application, socket.request, callSid, result)
    return await this.sendVerbs(callSid, verbs, queue)
  }

  /** Sends verbs that are ready for jambonz, in parts if they are long. Resolves and throws as `redirect()` does. */
  async sendVerbs(callSid: string, verbs: readonly unknown[], queue: boolean): Promise<boolean> {
    const commands = redirectsOf(verbs, queue)
    if (commands === undefined) {
      const longest = Math.max(...verbs.map((verb) => Buffer.byteLength(JSON.stringify(verb))))
      throw new ERR_MESSAGE_TOO_LONG(MAX_MESSAGE_BYTES, longest)
    }
    return await this.#send(callSid, commands)
  }

  /** Sends verbs that came too late for an ack, or whose socket has closed, on the call's current socket. */
  async late(callSid: string | undefined, verbs: string): Promise<void> {
    // Without a shared store, no other instance sends the verbs.
    const mayReconnect = !this.#draining || this.application.correlation.store.shared
    const sent =
      callSid !== undefined &&
      (mayReconnect || this.holds(callSid)) &&
      (await this.channel.late(callSid, JSON.parse(verbs) as unknown[]))
    this.application.metrics.cameLate(sent ? 'sent' : 'dropped')
    if (!sent) {
      this.application.logger.warn({ callSid }, 'an answer was dropped: the call can not be reached any more')
    }
  }

  /**
   * Writes to the store that the call has its first verbs, since jambonz may reconnect to another instance.
   */
  async acknowledged(answer: PendingAnswer): Promise<void> {
    this.pending.delete(answer)
    const { callSid } = answer
    if (callSid === undefined) return
    const acknowledgedAt = isoTime()
    try {
      await this.application.correlation.arrived(callSid, { acknowledgedAt })
    } catch (err) {
      this.application.logger.error(
        { err, callSid },
        'the first answer to a call could not be noted in the store'
      )
    }
  }

  /** Resolves when jambonz has sent the actionHooks of the calls' listens that have just ended, or after some seconds. */
  async hooksCame(callSids: Iterable<string>): Promise<void> {
    const { correlation } = this.application
    await Promise.all(Array.from(callSids, (callSid) => hooksOfEndsCame(correlation, callSid, HOOK_PATIENCE)))
  }

  /** Notes that jambonz has reconnected to this instance. Resolves to true if the call has its first verbs. */
  async reconnected(callSid: string | undefined): Promise<boolean> {
    if (callSid === undefined) return true
    const { correlation } = this.application
    const { acknowledgedAt } = await correlation.arrived(callSid, { holder: correlation.deps.instance })
    return acknowledgedAt !== undefined
  }

  /** Makes all instances send the orders that wait for the call's next socket. */
  reached(callSid: string | undefined): void {
    if (callSid !== undefined) this.channel.holds(callSid)
  }

  event(type: JambonzEventName, { callSid, hook, data }: SocketMessage): void {
    if (callSid === undefined) return
    if (type === 'jambonz:error') {
      this.application.logger.error({ callSid, data }, 'jambonz reports an error of this application')
    }
    this.application.correlation.emit(type, { callSid, data, ...(hook !== undefined && { hook }) })
  }

  /**
   * Returns the path of the statusHook that is registered in the scope of the socket's webhook, or in the nearest
   * parent of that scope.
   */
  statusUrl(request: FastifyRequest): string | undefined {
    return this.#statusHooks.pathFor(request)
  }

  isLast({ data }: SocketMessage): boolean {
    return isFinal(typeof data.call_status === 'string' ? data.call_status : undefined)
  }

  /** Writes the status of a call to the store, for an application without a statusHook. */
  async noteStatus({ callSid, data }: SocketMessage): Promise<void> {
    if (callSid !== undefined) {
      await this.application.correlation.arrived(callSid, callFields(data as Payload))
    }
  }

  /** Handles the close of a socket, by either side. */
  closed(socket: ApplicationSocket, code: number): void {
    this.#all.delete(socket)
    if (this.#all.size === 0) this.#rest()
    const over = code === CLOSE.normal || code === CLOSE.goingAway
    for (const callSid of socket.calls) {
      if (this.#byCall.get(callSid) !== socket) continue
      this.#byCall.delete(callSid)
      if (!over || socket.callEnded) continue
      // jambonz reports the end of a call only if the application has a statusHook, so the close counts as the end.
      this.#endSoon(callSid, code === CLOSE.normal ? 'completed' : 'failed')
    }
  }

  /**
   * Refuses new sockets, and closes all sockets with a code after which jambonz reconnects to another instance. Each
   * is closed when jambonz awaits no ack on it. Resolves when all sockets are closed and all their messages are handled,
   * but waits at most `patience` ms, and then for the close.
   */
  async drain(patience = DEADLINES.ack): Promise<void> {
    this.seal()
    this.#draining = true
    const sockets = Array.from(this.#all)
    await withinMs(patience, Promise.all(sockets.map((socket) => socket.leave())))
    for (const socket of sockets) socket.close(CLOSE.restart, LEAVING)
    await withinMs(CLOSE_PATIENCE, Promise.all(sockets.map(({ closed }) => closed)))
    for (const socket of sockets) socket.terminate()
    await Promise.all(Array.from(this.#ends, (end) => end()))
  }

  async #send(callSid: string, texts: readonly string[]): Promise<boolean> {
    const socket = this.#byCall.get(callSid)
    if (socket?.open !== true) return false
    try {
      await Promise.all(texts.map((text) => socket.send(text)))
      return true
    } catch {
      return false
    }
  }

  /** Writes the end of a call after END_GRACE, or when this instance drains, unless the call goes on by then. */
  #endSoon(callSid: string, callStatus: string): void {
    const { correlation, logger } = this.application
    const end = async (): Promise<void> => {
      clearTimeout(timer)
      if (!this.#ends.delete(end)) return
      try {
        const call = await correlation.store.get(callSid)
        const goesOn = this.#byCall.has(callSid) || call?.transport === 'http'
        if (call === undefined || call.endedAt !== undefined || goesOn) return
        await correlation.arrived(callSid, { callStatus })
      } catch (err) {
        logger.error({ err, callSid }, 'the end of a call could not be written')
      }
    }
    this.#ends.add(end)
    const timer = setTimeout(end, END_GRACE).unref()
  }

  #rest(): void {
    clearInterval(this.#idleTimer)
    this.#idleTimer = undefined
  }

  /** Closes idle sockets, since jambonz never closes a socket that it left after a redirect. */
  #closeIdle(): void {
    const now = performance.now()
    for (const socket of this.#all) {
      if (now - socket.lastMessageAt >= this.#limits.socketIdle) this.#closeIfOver(socket, now)
    }
  }

  async #closeIfOver(socket: ApplicationSocket, now: number): Promise<void> {
    const call =
      socket.callSid === undefined ? undefined : await this.application.correlation.store.get(socket.callSid)
    const over =
      call === undefined ? now - socket.lastMessageAt > FORGOTTEN_AFTER : call.endedAt !== undefined
    if (over) socket.close(CLOSE.normal, 'the call is over')
  }
}
