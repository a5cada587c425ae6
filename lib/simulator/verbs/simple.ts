import type { Hook } from '../application/requestor.js'
import { recordOf } from './application.js'
import { Task } from './task.js'

/** `pause`: `length` seconds pass. */
export class PauseTask extends Task {
  override async exec(): Promise<void> {
    await this.session.clock.wait(Number(this.data.length) * 1000, this.ending)
  }
}

/** `answer`: nothing but the answer its precondition brings. */
export class AnswerTask extends Task {
  override readonly precondition = 'endpoint'
  override async exec(): Promise<void> {}
}

/** `hangup`: jambonz ends the call. */
export class HangupTask extends Task {
  override readonly precondition = 'answered'
  override async exec(): Promise<void> {
    this.session.hangUp('jambonz')
  }
}

/** `tag`: customer data that comes with every later request and metadata. */
export class TagTask extends Task {
  override async exec(): Promise<void> {
    this.session.info.customerData = recordOf(this.data.data)
  }
}

/** `redirect`: another webhook takes over; a failing one ends the call. */
export class RedirectTask extends Task {
  override async exec(): Promise<void> {
    const hook = this.data.actionHook as Hook
    this.session.post.moveTo(hook)
    if (this.data.statusHook !== undefined) this.session.post.setStatusHook(this.data.statusHook as Hook)
    await this.performAction({}, true, 'session:redirect')
  }
}

/** A verb the simulator knows by name only: it is recorded and passes at once. */
export class OtherTask extends Task {
  override async exec(): Promise<void> {
    this.note('not simulated: recorded, takes no time, calls no hook')
  }
}
