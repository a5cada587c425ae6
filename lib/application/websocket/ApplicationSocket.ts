import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyRequest } from 'fastify'
import type { RawData, WebSocket } from 'ws'
import { beat, RoundTrips } from '../../audio/socket/pings.js'
import { isJambonzEvent } from '../../model/payloads.js'
import { withinMs } from '../../model/time.js'
import type { HandlerResult } from '../../verbs/index.js'
import { dispatchMessage, MessageConnection } from '../request.js'
import type { ApplicationSocketLimits, ApplicationSockets } from './ApplicationSockets.js'
import { firstPath, hookPath, TAKEN } from '../hookUrls.js'
import {
  ackOf,
  CLOSE,
  DEADLINES,
  headersOfMessages,
  MAX_VERBS_BYTES,
  readMessage,
  type PendingAnswer,
  type SocketMessage
} from './wire.js'

/** seconds of the pause in which a call waits for the verbs of a slow handler */
const HOLD_LENGTH = 120
/** The verbs that make a call wait for a slow handler. jambonz does not pick up the call meanwhile. */
const HOLD = `[{"verb":"pause","length":${HOLD_LENGTH}}]`
const NO_MESSAGE = 'no message of jambonz came'
export const LEAVING = 'this instance shuts down: reconnect'
/**
 * Number of pings that jambonz answers, one after the other, before we close a socket. jambonz may answer the
 * first ping before it handles an ack that came with it, and sends its next message only then.
 */
const PINGS = 2
/** ms that jambonz has to answer a close */
export const CLOSE_PATIENCE = 1_000

/** An application websocket, on which jambonz sends the requests of one call, and we send the acks. */
export class ApplicationSocket {
  readonly request: FastifyRequest
  /** undefined until the first message */
  callSid: string | undefined
  /** the callSids of the calls whose commands are sent on this socket; usually one */
  readonly calls = new Set<string>()
  lastMessageAt = performance.now()
  /** true if jambonz has reported the end of the call */
  callEnded = false
  /** Resolves when the socket has closed. */
  readonly closed: Promise<void>
  readonly #socket: WebSocket
  readonly #sockets: ApplicationSockets
  readonly #headers: Record<string, string>
  readonly #connection: MessageConnection
  readonly #underWay = new Set<Promise<void>>()
  /** ids of the messages whose acks jambonz awaits */
  readonly #unacknowledged = new Set<string>()
  readonly #roundTrips: RoundTrips
  readonly #noMessage: NodeJS.Timeout
  #leaving = false
  /** number of attempts to close the socket at a quiet moment; only the last one counts */
  #attempts = 0

  constructor(
    socket: WebSocket,
    request: FastifyRequest,
    sockets: ApplicationSockets,
    { metadataTimeout, heartbeat }: ApplicationSocketLimits
  ) {
    this.request = request
    this.#socket = socket
    this.#sockets = sockets
    this.#headers = headersOfMessages(request.headers)
    this.#connection = new MessageConnection(request.raw.socket)
    this.#roundTrips = new RoundTrips(socket)
    this.#noMessage = setTimeout(() => this.close(CLOSE.badStart, NO_MESSAGE), metadataTimeout)
    socket.on('message', (data) => this.#received(data))
    socket.on('pong', () => {})
    const stopPings = beat(heartbeat, { socket, isRead: () => true, lost: () => this.terminate() })
    socket.on('error', (err) => request.log.warn({ err, callSid: this.callSid }, 'application socket failed'))
    this.closed = new Promise((resolve) => {
      socket.on('close', (code) => {
        clearTimeout(this.#noMessage)
        stopPings()
        sockets.closed(this, code)
        resolve()
      })
    })
  }

  get open(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }

  /** Sends a text. Resolves when the text has left this process; rejects if the socket has closed. */
  send(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.send(text, (err) => (err ? reject(err) : resolve()))
    })
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason)
  }

  terminate(): void {
    this.#socket.terminate()
  }

  /**
   * Closes the socket when jambonz awaits no ack on it, so that jambonz reconnects to another instance. jambonz drops a
   * message that is not acknowledged when its socket closes. Resolves when the socket has closed, all its messages are
   * handled, and verbs that came too late for an ack are sent or dropped.
   */
  async leave(): Promise<void> {
    this.#leaving = true
    this.#closeWhenQuiet()
    await this.closed
    while (this.#underWay.size > 0) await Promise.all(this.#underWay)
  }

  /** Notes that jambonz awaits no ack of a message any more. */
  settled(msgid: string): void {
    if (this.#unacknowledged.delete(msgid) && this.#leaving) this.#closeWhenQuiet()
  }

  /**
   * Closes the socket if jambonz awaits no ack, if none of its messages is on the way, and if no hook is about to come.
   * Otherwise does nothing, since the next `settled()` tries again.
   */
  async #closeWhenQuiet(): Promise<void> {
    const attempt = ++this.#attempts
    const isQuiet = (): boolean => this.open && this.#unacknowledged.size === 0 && this.#attempts === attempt
    if (!isQuiet()) return
    const answers = await withinMs(DEADLINES.pong, this.#roundTrips.made(PINGS))
    if (isQuiet()) await this.#sockets.hooksCame(this.calls)
    // This process may be behind with its reading: messages that have come are read first.
    await turn()
    await turn()
    if (!isQuiet()) return
    this.close(CLOSE.restart, LEAVING)
    // What jambonz sent before it read the close comes ahead of its own close frame.
    if (answers === undefined) setTimeout(() => this.terminate(), CLOSE_PATIENCE).unref()
  }

  #received(data: RawData): void {
    clearTimeout(this.#noMessage)
    this.lastMessageAt = performance.now()
    const message = readMessage(String(data), (text) => this.#sockets.parse(text))
    if (message === undefined) {
      this.request.log.warn(
        { callSid: this.callSid },
        'application socket: a message has not the form of jambonz'
      )
      return
    }
    const { type, msgid } = message
    this.#sockets.application.metrics.messaged(type)
    this.callSid ??= message.callSid
    if (type !== 'call:status' && !isJambonzEvent(type)) this.#unacknowledged.add(msgid)
    const work = this.#handle({ ...message, callSid: message.callSid ?? this.callSid }).catch(
      (err: unknown) => {
        this.request.log.error(
          { err, callSid: this.callSid, type },
          'application socket: a message could not be handled'
        )
      }
    )
    this.#underWay.add(work)
    work.then(() => {
      this.#underWay.delete(work)
      this.settled(msgid)
    })
  }

  async #handle(message: SocketMessage): Promise<void> {
    const { type } = message
    switch (type) {
      case 'session:new':
      case 'session:adulting':
        this.#sockets.current(message.callSid, this)
        return await this.#answerFirst(message)
      case 'session:reconnect':
        this.#sockets.current(message.callSid, this)
        return await this.#reconnected(message)
      case 'call:status':
        return await this.#status(message)
      default:
        if (isJambonzEvent(type)) return this.#sockets.event(type, message)
        if (type === 'session:redirect') this.#sockets.current(message.callSid, this)
        return await this.#answerHook(message)
    }
  }

  async #answerFirst(message: SocketMessage): Promise<void> {
    const { msgid, callSid } = message
    const answer: PendingAnswer = { asked: [{ msgid, socket: this }], callSid, isFirst: true, acked: false }
    this.#sockets.pending.add(answer)
    await this.#answer(message, firstPath(this.request, this.#sockets.application.routes), answer, HOLD)
  }

  /**
   * Answers session:reconnect. jambonz waits for the ack, but uses verbs in it only if jambonz has got no
   * verbs for session:new.
   */
  async #reconnected(message: SocketMessage): Promise<void> {
    const { callSid, msgid } = message
    const unanswered = this.#sockets.pending.of(callSid)
    const isAcknowledged = await this.#sockets.reconnected(callSid)
    if (unanswered !== undefined && !unanswered.acked) {
      return await this.#takeOver(unanswered, msgid)
    }
    if (isAcknowledged) {
      await this.send(ackOf(msgid))
      return this.#sockets.reached(callSid)
    }
    this.request.log.info({ callSid }, 'jambonz reconnected before the call was answered')
    await this.#answerFirst(message)
  }

  /**
   * Answers a session:new that jambonz repeats on this socket while the webhook's handler still runs for the first
   * one. Sends the handler's verbs, or HOLD at the deadline of this ack if there are no verbs by then.
   */
  async #takeOver(answer: PendingAnswer, msgid: string): Promise<void> {
    answer.asked.push({ msgid, socket: this })
    if (answer.verbs !== undefined) return await this.#acknowledge(answer, answer.verbs)
    setTimeout(() => this.#acknowledge(answer, HOLD), DEADLINES.ack)
  }

  async #answerHook(message: SocketMessage): Promise<void> {
    const { hook, msgid, type, callSid } = message
    const answer: PendingAnswer = { asked: [{ msgid, socket: this }], callSid, isFirst: false, acked: false }
    const url = hook === undefined ? undefined : hookPath(hook, this.request, this.#sockets.application)
    if (url !== undefined) return await this.#answer(message, url, answer, undefined)
    if (hook !== undefined) {
      this.request.log.error(
        { callSid, hook, type },
        'no webhook() or actionHook() of this application has the path of the hook, so jambonz runs the next verb'
      )
    }
    await this.#acknowledge(answer, undefined)
  }

  /** Runs a route for the message. `hold`: the verbs that keep the call waiting for a slow handler. */
  async #answer(
    message: SocketMessage,
    url: string,
    answer: PendingAnswer,
    hold: string | undefined
  ): Promise<void> {
    const { fallback } = this.#sockets.application.options
    let given = false
    const holdTimer = setTimeout(() => this.#acknowledge(answer, hold), DEADLINES.ack)
    const fallbackTimer =
      fallback === undefined
        ? undefined
        : setTimeout(() => {
            given = true
            this.request.log.error(
              { callSid: message.callSid, url, ms: DEADLINES.answer },
              'a handler did not answer in time: the fallback verbs are answered'
            )
            this.#giveFallback(message, fallback)
          }, DEADLINES.answer)
    const verbs = await this.#dispatch(message, url).catch((err: unknown) => {
      this.request.log.error({ err, callSid: message.callSid, url }, 'a message was not answered')
      return undefined
    })
    clearTimeout(holdTimer)
    clearTimeout(fallbackTimer)
    if (!answer.acked) {
      const last = verbs ?? (hold && '[]')
      if (last !== undefined) answer.verbs = last
      return await this.#acknowledge(answer, last)
    }
    if (given || verbs === undefined) return
    await this.#sockets.late(message.callSid, verbs)
  }

  /** Resolves to the JSON of the verbs; to undefined if there are none. */
  async #dispatch(
    { msgid, data, b3, type, callSid }: SocketMessage,
    url: string
  ): Promise<string | undefined> {
    const { statusCode, body } = await dispatchMessage(
      this.#sockets.fastify,
      {
        msgid,
        payload: data.call_sid === undefined && callSid !== undefined ? { call_sid: callSid, ...data } : data,
        get seed() {
          return Buffer.from(JSON.stringify(data))
        }
      },
      {
        url,
        headers: b3 === undefined ? this.#headers : { ...this.#headers, b3 },
        connection: this.#connection
      }
    )
    const verbs = TAKEN.has(statusCode) ? body.trim() : ''
    if (!verbs.startsWith('[') || verbs === '[]') return undefined
    if (Buffer.byteLength(verbs) <= MAX_VERBS_BYTES) return verbs
    this.request.log.error(
      { callSid, type, bytes: Buffer.byteLength(verbs), maximum: MAX_VERBS_BYTES },
      'a Fastify hook of this application made the answer too long for jambonz: nothing is answered'
    )
    return undefined
  }

  async #acknowledge(answer: PendingAnswer, verbs: string | undefined): Promise<void> {
    if (answer.acked) return
    const { asked, callSid, isFirst } = answer
    const open = asked.filter(({ socket }) => socket.open)
    if (open.length > 0) {
      answer.acked = true
      const sent = await Promise.allSettled(open.map(({ socket, msgid }) => socket.send(ackOf(msgid, verbs))))
      if (sent.some(({ status }) => status === 'fulfilled')) {
        // The socket must not be closed before this is written. If it were, jambonz might reconnect to an instance that
        // takes the call for unanswered.
        if (isFirst) await this.#sockets.acknowledged(answer)
        for (const { socket, msgid } of asked) socket.settled(msgid)
        return
      }
      answer.acked = false
    }
    // jambonz sends session:new again, to this or another instance, so the answer is kept. No other message
    // is sent again.
    if (isFirst) return this.#sockets.pending.dropLater(answer)
    answer.acked = true
    if (verbs !== undefined) await this.#sockets.late(callSid, verbs)
  }

  async #giveFallback({ callSid }: SocketMessage, fallback: HandlerResult): Promise<void> {
    try {
      if (callSid !== undefined) await this.#sockets.channel.order({ callSid, verbs: fallback, queue: false })
    } catch (err) {
      this.request.log.error({ err, callSid }, 'the fallback verbs could not be sent')
    }
  }

  async #status(message: SocketMessage): Promise<void> {
    this.callEnded ||= this.#sockets.isLast(message)
    const url = this.#sockets.statusUrl(this.request)
    if (url === undefined) return await this.#sockets.noteStatus(message)
    await this.#dispatch(message, url)
  }
}
