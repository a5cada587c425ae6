import type { Session } from '../session/session.js'
import { ListenTask } from './listen.js'
import { AnswerTask, HangupTask, OtherTask, PauseTask, RedirectTask, TagTask } from './simple.js'
import { PlayTask, SayTask } from './sounds.js'
import type { Task } from './task.js'

type TaskClass = new (session: Session, verb: string, data: Record<string, unknown>) => Task

const TASKS: Record<string, TaskClass> = {
  answer: AnswerTask,
  hangup: HangupTask,
  listen: ListenTask,
  pause: PauseTask,
  play: PlayTask,
  redirect: RedirectTask,
  say: SayTask,
  stream: ListenTask,
  tag: TagTask
}

/** The task that runs a (checked) verb; verbs that are not simulated get one that only takes note. */
export function makeTask (session: Session, verb: string, data: Record<string, unknown>): Task {
  return new (TASKS[verb] ?? OtherTask)(session, verb, data)
}
