import type { Hook } from '../application/requestor.js'
import { recordOf } from './application.js'
import { Task } from './task.js'

/** `pause`: waits for `length` seconds. */
export class PauseTask extends Task {
  override async exec(): Promise<void> {
    await this.session.clock.wait(Number(this.data.length) * 1000, this.ending)
  }
}

/** `answer`: answers the call. The precondition of the verb does that. */
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

/** `tag`: sets the customer data that all later requests and metadata contain. */
export class TagTask extends Task {
  override async exec(): Promise<void> {
    this.session.info.customerData = recordOf(this.data.data)
  }
}

/** `redirect`: asks another webhook for verbs. If that fails, the call ends. */
export class RedirectTask extends Task {
  override async exec(): Promise<void> {
    const hook = this.data.actionHook as Hook
    // jambonz calls a method of strings on the hook (feature-server lib/utils/base-requestor.js, _isAbsoluteUrl).
    if (typeof hook !== 'string' && this.session.options.platform === '0.9') {
      this.session.problems.report('redirectHook', 'the actionHook of a redirect is an object')
      throw new Error('redirect: jambonz ends the call, because the actionHook is an object')
    }
    this.session.post.moveTo(hook)
    if (this.data.statusHook !== undefined) this.session.post.setStatusHook(this.data.statusHook as Hook)
    await this.performAction({}, true, 'session:redirect')
  }
}

/** A verb that the simulator does not carry out. It is only recorded, and the next verb runs. */
export class OtherTask extends Task {
  override async exec(): Promise<void> {
    this.note('this verb is not simulated: it is recorded, takes no time, and calls no hook')
  }
}
