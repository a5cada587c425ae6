import { urlOf, type Command, type Hook } from '../application/requestor.js'
import { reasonOf } from '../errors.js'
import type { Fork } from '../fork/fork.js'
import type { CommandRecord } from '../types.js'
import { parseApplication, recordOf } from '../verbs/application.js'
import { makeTask } from '../verbs/index.js'
import type { Session } from './session.js'

/**
 * Runs the commands of an application websocket (feature-server call-session.js, _onCommand). A command gets no answer.
 */
export class Commands {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  /**
   * `overSocket`: true for a command of the application's websocket, whose errors jambonz does not catch. It catches
   * those of its REST api.
   */
  run({ command, data, queue, callSid }: Command, overSocket = true): void {
    const session = this.#session
    if (session.gone) return
    const record: CommandRecord = { command, data, queue, callSid, atMs: Math.round(session.clock.now()) }
    session.story.command(record)
    try {
      const note = this.#execute(record, overSocket)
      if (note !== undefined) record.note = note
    } catch (error) {
      record.note = reasonOf(error)
      session.error(`command ${command}: ${reasonOf(error)}`)
      if (overSocket) session.uncaught(`the command ${command} failed: ${reasonOf(error)}`)
    }
    session.events.emit('command', record)
  }

  /**
   * Runs a change over jambonz' REST api. `change`: the body of the PUT (feature-server call-session.js, updateCall).
   */
  update(change: Readonly<Record<string, unknown>>): void {
    const status = change.listen_status ?? change.stream_status
    if (change.call_status !== undefined) this.#runNow('call:status', change)
    else if (change.call_hook !== undefined) this.#runNow('redirect', change)
    else if (status !== undefined) this.#runNow('listen:status', change)
    else if (change.mute_status !== undefined) this.#runNow('mute:status', change)
    else this.#runNow(Object.keys(change).join(', '), change)
  }

  #runNow(command: string, data: unknown): void {
    this.run({ command, data, queue: false, callSid: undefined }, false)
  }

  // Returns why the command did nothing; undefined if it was executed.
  #execute({ command, data, queue }: CommandRecord, overSocket: boolean): string | undefined {
    const session = this.#session
    switch (command) {
      case 'redirect':
        return this.#redirect(data, queue, overSocket)
      case 'call:status':
        return this.#callStatus(recordOf(data).call_status)
      case 'listen:status':
      case 'stream:status':
        return this.#listenStatus(recordOf(data).listen_status ?? recordOf(data).stream_status)
      case 'mute:status':
        return this.#muteStatus()
      case 'config': {
        const [config] = parseApplication([{ verb: 'config', ...recordOf(data) }], session.options)
        session.track(makeTask(session, 'config', config!.data).exec())
        return undefined
      }
      case 'whisper':
        return this.#whisper(recordOf(data).whisper)
      default:
        return 'this command is not simulated: it is recorded, and does nothing'
    }
  }

  #redirect(data: unknown, queue: boolean, overSocket: boolean): string | undefined {
    const session = this.#session
    if (Array.isArray(data)) {
      const verbs = parseApplication(data, session.options)
      if (queue) session.appendVerbs(verbs)
      else session.replaceApplication(verbs)
      return undefined
    }
    const { call_hook: hook, parent_call: verbs } = recordOf(data)
    if (Array.isArray(verbs)) {
      session.replaceApplication(parseApplication(verbs, session.options))
      return undefined
    }
    // If the redirect has neither verbs nor call_hook, jambonz ends the present verb, and runs the remaining verbs.
    if (hook === undefined) return this.#endVerb()
    const asked = this.#ask(hook as Hook)
    session.track(
      asked.catch((error: unknown) => {
        if (overSocket) session.uncaught(`the redirect to ${urlOf(hook as Hook)} failed: ${reasonOf(error)}`)
        throw error
      })
    )
    return undefined
  }

  // Throws if no verb runs, as jambonz does.
  #endVerb(): undefined {
    const { current } = this.#session
    if (current === undefined) throw new Error('no verb runs: jambonz does nothing')
    current.kill('done')
    return undefined
  }

  async #ask(hook: Hook): Promise<void> {
    const session = this.#session
    const reply = await session.post.hook('session:redirect', hook, session.info.toJSON())
    // An answer without verbs ends only the present verb.
    if (!Array.isArray(reply)) {
      this.#endVerb()
      return
    }
    session.replaceApplication(parseApplication(reply, session.options))
  }

  // jambonz 0.9 gives the tasks of a whisper in a listen no trace, without which a say fails (feature-server
  // lib/tasks/listen.js, whisper, and lib/tasks/tts-task.js).
  #whisper(whispered: unknown): string {
    const { current, options, problems } = this.#session
    const verbs: unknown[] = Array.isArray(whispered) ? whispered : [whispered]
    const says = verbs.map(recordOf).some((verb) => verb.verb === 'say' || verb.say !== undefined)
    const isInListen = current?.verb === 'listen' || current?.verb === 'stream'
    if (says && isInListen && options.platform === '0.9') {
      problems.report('whisperInListen', 'the application sent a whisper with a say during a listen')
      return 'jambonz 0.9 says nothing: a say in a whisper works only in a dial'
    }
    return 'whisper is not simulated: nobody hears it'
  }

  #callStatus(status: unknown): string | undefined {
    const session = this.#session
    if (status === 'completed' && session.answeredAt !== undefined) session.hangUp('jambonz')
    else if (status === 'no-answer' && session.answeredAt === undefined) session.hangUp('jambonz')
    else return `call:status ${String(status)} does nothing to this call`
    return undefined
  }

  #listenStatus(status: unknown): string | undefined {
    if (this.#session.current === undefined) throw new Error('no verb runs: jambonz does nothing')
    const fork = this.#foregroundFork()
    if (fork === undefined) return 'no listen runs in the foreground or in a dial'
    if (status === 'pause') fork.pause()
    else if (status === 'resume') fork.resume()
    else return `listen status ${String(status)} is unknown`
    return undefined
  }

  #foregroundFork(): Fork | undefined {
    for (const leg of this.#session.legs) {
      for (const fork of leg.forks) if (['listen', 'dial'].includes(fork.record.role)) return fork
    }
    return undefined
  }

  #muteStatus(): string | undefined {
    const verb = this.#session.current?.verb
    if (verb !== 'dial' && verb !== 'conference') return 'jambonz mutes only in a dial or a conference'
    return 'mute is not simulated: nobody is muted'
  }
}
