/** A fault of the application that jambonz handles badly, or refuses. */
export interface Problem {
  /**
   * `error`: the application does not work; `warning`: it works, but perhaps not as intended, or not on every jambonz.
   */
  severity: 'error' | 'warning'
  code: ProblemCode
  /** The event. */
  what: string
  /** The reaction of jambonz. */
  then: string
  /** The change that solves the problem. */
  change: string
  /** Url of the socket or request. */
  url: string | undefined
  /** Simulated ms since the call began. */
  atMs: number
}

interface Kind {
  severity: Problem['severity']
  then: string
  change: string
}

const GOES_ON = 'jambonz logs it, ignores it and goes on'

/** All kinds of problems, as measured on jambonz 0.9.8 (docs/jambonz.md). */
const KINDS = {
  // the socket
  refused: {
    severity: 'error',
    then: 'jambonz does not try again; the listen is over and its actionHook is called without dial_call_duration',
    change:
      'have a websocket server answer this url with 101 within 10 s, and take the credentials jambonz sends'
  },
  noSubprotocol: {
    severity: 'warning',
    then: 'the media server of jambonz 0.9 takes the socket all the same',
    change: 'select audio.jambonz.org in the answer to the upgrade: a stricter client would leave'
  },
  tornDown: {
    severity: 'error',
    then: 'jambonz ends the listen as if the server had closed it; 0.9 ends all listens of the call',
    change: 'close the socket with code 1000; look for a crash, a proxy time-out or terminate() in the server'
  },
  closedWithError: {
    severity: 'error',
    then: 'jambonz never sees the code: it ends the listen and goes on; 0.9 ends all listens of the call',
    change: "look into the server's log: it gave the listen up"
  },
  brokenFrame: {
    severity: 'error',
    then: 'jambonz drops the connection, and the listen is over; of a masked frame it complains with 1002 and goes on',
    change: 'use a websocket library, and no compression: jambonz never asks for permessage-deflate'
  },
  closedEarly: {
    severity: 'warning',
    then: 'jambonz ends the listen at once and goes on with the next verb; 0.9 ends all listens of the call',
    change: 'keep the socket open for as long as you want to listen'
  },
  othersEnded: {
    severity: 'warning',
    then: 'jambonz 0.9 tells every listen of the call that its socket has ended, and ends them all',
    change: 'expect it, or let jambonz end the listen itself: maxLength, or a finishOnKey of one key'
  },
  lostAudio: {
    severity: 'warning',
    then: 'the media server keeps 2 s for a server that does not read, and loses what is more',
    change: 'answer the upgrade within 2 s, and read the socket without pausing for long'
  },
  // messages of the server
  noJson: {
    severity: 'warning',
    then: GOES_ON,
    change: 'send JSON objects with a type as text frames, and audio as binary frames'
  },
  noType: {
    severity: 'warning',
    then: 'jambonz takes it for a message of the type json, which a listen does nothing with',
    change: 'give the message a type'
  },
  unknownMessage: {
    severity: 'warning',
    then: GOES_ON,
    change: 'the types are playAudio, killAudio, mark, clearMarks, disconnect, error'
  },
  playAudioCrash: {
    severity: 'error',
    then: 'the media server of jambonz 0.9 crashes, and every call on it with it',
    change: "set data.audioContentType to 'raw' or 'wav'"
  },
  playAudioWithoutData: { severity: 'error', then: GOES_ON, change: 'put the audio into data' },
  playAudioWithoutContent: {
    severity: 'error',
    then: 'nothing is played, and no playDone comes',
    change: 'put the audio, as base64, into data.audioContent'
  },
  playAudioUnplayable: {
    severity: 'error',
    then: 'nothing is played, and no playDone comes',
    change: "send raw L16 samples (audioContentType 'raw') or a whole WAV file ('wav')"
  },
  playAudioRate: {
    severity: 'warning',
    then: 'jambonz plays the samples as 16000 Hz: too fast or too slow if they are anything else',
    change: 'set data.sampleRate to the number 8000 or 16000'
  },
  playAudioCut: {
    severity: 'warning',
    then: 'the media server decodes the base64 up to the first foreign character and plays only that',
    change: 'send plain base64: no line breaks, not base64url'
  },
  playAudioWhileStreaming: {
    severity: 'error',
    then: 'jambonz plays no files in a listen that streams back',
    change: 'send the audio as binary frames, or leave bidirectionalAudio.streaming out'
  },
  playAudioDisabled: {
    severity: 'error',
    then: 'nothing is played: no listen of the call takes playAudio',
    change: 'leave bidirectionalAudio.enabled on (and disableBidirectionalAudio out)'
  },
  playAudioRepeated: {
    severity: 'warning',
    then: 'jambonz 0.9 plays a file once for each listen with bidirectional audio: the caller hears it as often',
    change: 'set bidirectionalAudio: { enabled: false } in the config.listen'
  },
  queueFull: {
    severity: 'warning',
    then: 'the file is dropped without a word, and no playDone comes',
    change: 'wait for playDone before you queue more: eleven may wait'
  },
  markIgnored: {
    severity: 'warning',
    then: 'no report ever comes of this mark',
    change: 'give a mark a data.name, use marks in streaming listens only, and let no more than 30 wait'
  },
  // audio of the server
  swallowedAudio: {
    severity: 'error',
    then: 'the media server swallows it: nobody hears it',
    change:
      'set bidirectionalAudio: { enabled: true, streaming: true, sampleRate } in the verb; without sampleRate it does not stream'
  },
  unplayedTail: {
    severity: 'warning',
    then: 'the media server plays streamed audio in lots of 80 ms (160 ms to begin with) and keeps the rest back',
    change: 'send 80 ms of silence after each utterance'
  },
  // the verbs
  listenOption: {
    severity: 'warning',
    then: 'jambonz takes the verb, and this has no effect',
    change: 'do it in the application'
  },
  streamingWithoutRate: {
    severity: 'error',
    then: 'the media server does not stream: binary frames are swallowed, nobody hears them',
    change: 'set bidirectionalAudio.sampleRate'
  },
  longUrl: {
    severity: 'warning',
    then: 'a path of 690 characters crashes the media server of jambonz 0.9 (elsewhere another length)',
    change: 'keep the path of a socket under 500 characters'
  },
  longCredentials: {
    severity: 'error',
    then: 'jambonz sends 90 bytes of user and password without their last, and more not at all',
    change: 'keep user and password to 89 bytes together'
  },
  configStream: {
    severity: 'warning',
    then: 'jambonz 0.9 ignores config.stream',
    change: 'use config.listen; platform 11 knows both names'
  },
  // answers
  requestRefused: {
    severity: 'error',
    then: 'jambonz takes 200, 202 and 204 only, and follows no redirect',
    change: 'see what the application says in its answer and in its log'
  },
  answerIgnored: {
    severity: 'warning',
    then: 'jambonz takes a JSON array of verbs with the content type application/json, and ignores anything else',
    change: 'answer with an array of verbs, of the content type application/json, or with nothing'
  }
} satisfies Record<string, Kind>

export type ProblemCode = keyof typeof KINDS

/** Reports a problem of the socket or request of `url`. */
export type Report = (code: ProblemCode, what: string, url?: string) => void

const MAX_PROBLEMS = 1_000

/** Collects the problems of a call, each once. */
export class Problems {
  readonly list: Problem[] = []
  readonly #now: () => number
  readonly #found: (problem: Problem) => void
  readonly #seen = new Set<string>()

  constructor(now: () => number, found: (problem: Problem) => void) {
    this.#now = now
    this.#found = found
  }

  readonly report: Report = (code, what, url) => {
    const key = `${code} ${what} ${url ?? ''}`
    if (this.#seen.has(key) || this.list.length >= MAX_PROBLEMS) return
    this.#seen.add(key)
    const problem: Problem = { code, ...KINDS[code], what, url, atMs: Math.round(this.#now()) }
    this.list.push(problem)
    this.#found(problem)
  }
}

const MAX_SHOWN = 200

/** Returns text of the application, short enough for one line. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined')
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line
}
