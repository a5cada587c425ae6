import { wavOf } from '../audio/wav.js'
import type { Leg } from '../media/leg.js'
import type { Problem } from '../problems.js'
import type {
  ApplicationSocketRecord,
  CallStory,
  CommandRecord,
  Heard,
  ListenRecord,
  RequestRecord,
  VerbRecord
} from '../types.js'

const MAX_RECORDS = 10_000

/** Collects the events of a call in lists of limited length. */
export class Story {
  readonly requests: RequestRecord[] = []
  readonly applicationSockets: ApplicationSocketRecord[] = []
  readonly commands: CommandRecord[] = []
  readonly verbs: VerbRecord[] = []
  readonly listens: ListenRecord[] = []
  readonly legs: CallStory['legs'] = []
  readonly marks: Heard['marks'] = []
  readonly errors: string[] = []
  hangupBy: CallStory['hangupBy'] = 'nobody'

  request(record: RequestRecord): void {
    if (this.requests.length < MAX_RECORDS) this.requests.push(record)
  }

  applicationSocket(record: ApplicationSocketRecord): void {
    if (this.applicationSockets.length < MAX_RECORDS) this.applicationSockets.push(record)
  }

  command(record: CommandRecord): void {
    if (this.commands.length < MAX_RECORDS) this.commands.push(record)
  }

  verb(record: VerbRecord): void {
    if (this.verbs.length < MAX_RECORDS) this.verbs.push(record)
  }

  listen(record: ListenRecord): void {
    if (this.listens.length < MAX_RECORDS) this.listens.push(record)
  }

  error(text: string): void {
    if (this.errors.length < MAX_RECORDS) this.errors.push(text)
  }

  finish(callSid: string, leg: Leg, durationMs: number, problems: Problem[]): CallStory {
    const { requests, applicationSockets, commands, verbs, listens, legs, errors, hangupBy } = this
    return {
      callSid,
      requests,
      applicationSockets,
      commands,
      verbs,
      listens,
      legs,
      heard: heardBy(leg, this.marks),
      hangupBy,
      durationMs,
      errors,
      problems
    }
  }
}

/** Returns the audio a leg has heard so far. */
export function heardBy(leg: Leg, marks: Heard['marks']): Heard {
  const pcm = leg.heard.audio()
  return {
    pcm,
    sampleRate: leg.rate,
    startedAtMs: leg.startedAt ?? 0,
    marks: [...marks],
    wav: () => wavOf(pcm, leg.rate)
  }
}
