import type { Session } from '../session/session.js'
import { ConfigTask } from './config.js'
import { DialTask } from './dial.js'
import { GatherTask } from './gather.js'
import { ListenTask } from './listen.js'
import { AnswerTask, HangupTask, OtherTask, PauseTask, RedirectTask, TagTask } from './simple.js'
import { RoomTask } from './room.js'
import { PlayTask, SayTask } from './sounds.js'
import type { Task } from './task.js'
import { TranscribeTask } from './transcribe.js'

type TaskClass = new (session: Session, verb: string, data: Record<string, unknown>) => Task

const TASKS: Record<string, TaskClass> = {
  answer: AnswerTask,
  conference: RoomTask,
  config: ConfigTask,
  dial: DialTask,
  gather: GatherTask,
  hangup: HangupTask,
  listen: ListenTask,
  pause: PauseTask,
  play: PlayTask,
  redirect: RedirectTask,
  room: RoomTask,
  say: SayTask,
  stream: ListenTask,
  tag: TagTask,
  transcribe: TranscribeTask
}

/** Returns the task that runs a checked verb. The task of a verb that is not simulated only records the verb. */
export function makeTask(session: Session, verb: string, data: Record<string, unknown>): Task {
  return new (TASKS[verb] ?? OtherTask)(session, verb, data)
}
