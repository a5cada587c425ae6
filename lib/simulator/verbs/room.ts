import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Hook } from '../application/requestor.js'
import { recordOf } from './application.js'
import { ListenTask } from './listen.js'
import { Task, type Precondition } from './task.js'

/**
 * `room` and `conference`. On 0.9 the verb is only recorded, because there a listen in a room never starts. On 11, as
 * its documentation says, the verb lasts until the call ends, and a listen in it opens a socket for each member, all on
 * one url.
 */
export class RoomTask extends Task {
  override readonly precondition: Precondition = this.session.options.platform === '11' ? 'endpoint' : 'none'
  #listens: ListenTask[] = []
  #entered = false
  #enteredAt = 0

  override get openEnded(): boolean {
    return this.#entered && !this.killed
  }

  override async exec(): Promise<void> {
    const { session } = this
    if (session.options.platform !== '11') {
      return this.note('this verb is not simulated: it is recorded, takes no time, and calls no hook')
    }
    const nested = this.data.stream ?? this.data.listen
    if (nested !== undefined) this.#listens = this.#members().map((member) => this.#listenTo(member, nested))
    this.#entered = true
    this.#enteredAt = session.clock.now()
    this.#notify('start')
    this.#notify('join')
    const running = this.#listens.map((task) => task.exec())
    if (!this.killed && !session.gone) await once(this.ending, 'abort')
    await Promise.all(running)
    this.#notify('leave')
    this.#notify('end')
    await this.performAction()
  }

  protected override onKill(reason: 'replaced' | 'released' | 'done'): void {
    for (const task of this.#listens) task.kill(reason)
  }

  /**
   * Sends a status event that the verb asks for. Does not wait for the answer (feature-server lib/tasks/conference.js).
   */
  #notify(event: string): void {
    const { session } = this
    const { statusHook, statusEvents, name } = this.data
    if (statusHook === undefined || !Array.isArray(statusEvents) || !statusEvents.includes(event)) return
    const report = {
      event,
      duration: (session.clock.now() - this.#enteredAt) / 1000,
      time: new Date().toISOString(),
      members: 1 + session.options.members,
      conferenceSid: name,
      friendlyName: name,
      ...session.info.toJSON()
    }
    session.track(session.post.hook('verb:hook', statusHook as Hook, report))
  }

  #members(): string[] {
    const { info, options } = this.session
    return [info.callSid, ...Array.from({ length: options.members }, () => randomUUID())]
  }

  // Each member has a socket, but jambonz calls the actionHook only for the member whose verb has the listen.
  #listenTo(callSid: string, nested: unknown): ListenTask {
    const { actionHook, ...data } = recordOf(nested)
    const isOwn = callSid === this.session.info.callSid
    const task = new ListenTask(this.session, 'listen', isOwn ? { ...data, actionHook } : data)
    const room = String(this.data.name ?? '')
    task.place = { leg: this.session.leg, role: 'room', member: { callSid, memberId: randomUUID(), room } }
    return task
  }
}
