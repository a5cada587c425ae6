/** A fault of the application that jambonz handles badly, or refuses. */
export interface Problem {
  /**
   * `error`: the application does not work. `warning`: the application works, but perhaps not as its author intended,
   * or not on every version of jambonz.
   */
  severity: 'error' | 'warning'
  code: ProblemCode
  /** The mistake of the application. */
  what: string
  /** The reaction of jambonz. */
  then: string
  /** The change in the application that solves the problem. */
  change: string
  /** Url of the socket or request. */
  url: string | undefined
  /** The entry of the story's `errors` about the same failure, if there is one. */
  error?: string
  /** Simulated ms since the call began. */
  atMs: number
}

interface Kind {
  severity: Problem['severity']
  then: string
  change: string
}

const GOES_ON = 'jambonz logs the message, ignores it, and the listen goes on'

/** All kinds of problems, as measured on jambonz 0.9.8 (docs/jambonz.md). */
const KINDS = {
  // problems of a socket
  refused: {
    severity: 'error',
    then: 'jambonz does not try again: the listen is over, and jambonz calls its actionHook without dial_call_duration',
    change:
      'answer the upgrade of this url with status 101 within 10 s, and accept the credentials that jambonz sends'
  },
  noSubprotocol: {
    severity: 'warning',
    then: 'the media server of jambonz 0.9 accepts the socket without one',
    change:
      'select the subprotocol audio.jambonz.org in the answer to the upgrade, because a stricter client would close the socket'
  },
  tornDown: {
    severity: 'error',
    then: 'jambonz ends the listen as if the server had closed the socket; jambonz 0.9 ends all listens of the call',
    change:
      'close the socket with code 1000. Look for a crash, for a timeout of a proxy, or for terminate() in the server'
  },
  closedWithError: {
    severity: 'error',
    then: 'jambonz does not see the close code: it ends the listen and runs the next verb; jambonz 0.9 ends all listens of the call',
    change: "the server closed the socket because of an error: look into the server's log"
  },
  brokenFrame: {
    severity: 'error',
    then: 'jambonz drops the connection, and the listen is over. If the frame is only masked, jambonz reports it with code 1002, and the listen goes on',
    change:
      'use a websocket library. Do not compress messages, because jambonz does not offer permessage-deflate'
  },
  closedEarly: {
    severity: 'warning',
    then: 'jambonz ends the listen at once and runs the next verb; jambonz 0.9 ends all listens of the call',
    change: 'keep the socket open as long as you want to receive audio'
  },
  othersEnded: {
    severity: 'warning',
    then: 'jambonz 0.9 ends all listens of the call, because it tells each listen that its own socket has ended',
    change:
      'have jambonz end the listen, by maxLength or by a finishOnKey of one key, or accept that all listens end together'
  },
  lostAudio: {
    severity: 'warning',
    then: 'the media server buffers 2 s of audio for a server that does not read, and drops the rest',
    change: 'answer the upgrade within 2 s, and never stop reading the socket for 2 s'
  },
  // problems of messages that the server sends
  noJson: {
    severity: 'warning',
    then: GOES_ON,
    change: 'send text frames with a JSON object that has a type, and send audio in binary frames'
  },
  noType: {
    severity: 'warning',
    then: 'jambonz reads the message as one of type json, which has no effect in a listen',
    change: 'set the property type of the message'
  },
  unknownMessage: {
    severity: 'warning',
    then: GOES_ON,
    change:
      'use one of the types that jambonz knows: playAudio, killAudio, mark, clearMarks, disconnect, error'
  },
  playAudioCrash: {
    severity: 'error',
    then: 'the media server of jambonz 0.9 crashes, which ends all its calls',
    change: "set data.audioContentType to 'raw' or 'wav'"
  },
  playAudioWithoutData: { severity: 'error', then: GOES_ON, change: 'set data to an object with the audio' },
  playAudioWithoutContent: {
    severity: 'error',
    then: 'nothing is played, and no playDone comes',
    change: 'set data.audioContent to the audio, as base64'
  },
  playAudioUnplayable: {
    severity: 'error',
    then: 'nothing is played, and no playDone comes',
    change:
      "send raw L16 samples with audioContentType 'raw', or a complete WAV file with audioContentType 'wav'"
  },
  playAudioRate: {
    severity: 'warning',
    then: 'jambonz plays the samples at 16000 Hz: too fast or too slow if they have another rate',
    change: 'set data.sampleRate to the number 8000 or 16000'
  },
  playAudioCut: {
    severity: 'warning',
    then: 'the media server decodes data.audioContent up to the first character that is not base64, and plays only that part',
    change: 'send plain base64, without line breaks and not base64url'
  },
  playAudioWhileStreaming: {
    severity: 'error',
    then: 'nothing is played: jambonz plays no files in a listen with bidirectionalAudio.streaming',
    change: 'send the audio in binary frames, or leave out bidirectionalAudio.streaming'
  },
  playAudioDisabled: {
    severity: 'error',
    then: 'nothing is played: no listen of the call accepts playAudio',
    change: 'leave out bidirectionalAudio.enabled: false, and disableBidirectionalAudio'
  },
  playAudioRepeated: {
    severity: 'warning',
    then: 'jambonz 0.9 plays the file once for each listen with bidirectional audio, so the caller hears it several times',
    change: 'set bidirectionalAudio: { enabled: false } in the config.listen'
  },
  queueFull: {
    severity: 'warning',
    then: 'jambonz drops the file, reports nothing, and no playDone comes',
    change: 'wait for a playDone before you queue another file, because at most eleven files may wait'
  },
  markIgnored: {
    severity: 'warning',
    then: 'jambonz never reports this mark',
    change:
      'set data.name of a mark, send marks only in listens that stream, and let no more than 30 marks wait'
  },
  // problems of audio that the server streams
  swallowedAudio: {
    severity: 'error',
    then: 'the media server drops the audio: nobody hears it',
    change:
      'set bidirectionalAudio: { enabled: true, streaming: true, sampleRate } in the verb; without sampleRate, jambonz does not stream'
  },
  unplayedTail: {
    severity: 'warning',
    then: 'the media server plays streamed audio in pieces of 80 ms (160 ms at the beginning), and does not play the rest until more audio comes',
    change: 'send 80 ms of silence after each utterance'
  },
  // problems of verbs
  listenOption: {
    severity: 'warning',
    then: 'jambonz accepts the verb, and ignores this property',
    change: 'end the listen in your application instead'
  },
  streamingWithoutRate: {
    severity: 'error',
    then: 'the media server does not stream: it drops binary frames, and nobody hears them',
    change: 'set bidirectionalAudio.sampleRate'
  },
  longUrl: {
    severity: 'warning',
    then: 'a path of 690 characters crashes the media server of jambonz 0.9; with another build the length may be another',
    change: 'keep the path of a socket under 500 characters'
  },
  longCredentials: {
    severity: 'error',
    then: 'jambonz drops the last byte of a user and password of 90 bytes together, and sends no credentials if they are longer',
    change: 'use a user and password of at most 89 bytes together'
  },
  configStream: {
    severity: 'warning',
    then: 'jambonz 0.9 ignores config.stream',
    change: 'use config.listen, which jambonz 0.9 and 11 both know'
  },
  whisperInListen: {
    severity: 'error',
    then: 'jambonz 0.9 says nothing: the say fails with an internal error, which jambonz logs (listen.js, whisper)',
    change: 'send the command dub, with addTrack and then sayOnTrack, or whisper a play'
  },
  redirectHook: {
    severity: 'error',
    then: 'jambonz ends the call: since 0.9.4, a redirect fails if its actionHook is an object (redirect.js, base-requestor.js)',
    change: 'write the url of the actionHook as a string'
  },
  backgroundForgotten: {
    severity: 'warning',
    then: 'jambonz 0.9 forgets the new background task: no config ends it any more, and a dial without a listen takes the audio away from it (background-task-manager.js, _taskCompleted)',
    change:
      'let another verb run between the config that stops the old task and the config that starts the new one'
  },
  // problems of requests whose errors the feature server does not catch
  featureServerCrash: {
    severity: 'warning',
    then: 'the feature server of jambonz does not catch this error. Before 0.9.5 its process ends, and all its calls with it, unless a process manager catches the error; since 0.9.5 it only logs the error',
    change:
      'answer each status event with 200, 202 or 204, and acknowledge session:reconnect and session:redirect. Send only commands that fit the verb that runs, with verbs that jambonz accepts. Wait for the playDone of a file, or send killAudio and wait, before you end its listen'
  },
  // problems of answers to webhooks and hooks
  requestFailed: {
    severity: 'error',
    then: 'jambonz tries again only if the url asks for it, as with #rc=3. Without an answer to the first webhook it refuses the call; without an answer to a hook it runs the next verb',
    change:
      'start the application, check the host and port of the url and its scheme (http or https), and answer within the timeout of the request. To accept a self-signed certificate, use allowSelfSigned (--insecure)'
  },
  requestRefused: {
    severity: 'error',
    then: 'jambonz accepts only the statuses 200, 202 and 204, and follows no redirect',
    change:
      'status 404: check the path and the method of the url. Status 401: give the simulator the secret or the credentials of the application (webhookSecret and webhookAuth, --secret and --auth). Any other status: look for the error in the answer and in the log of the application'
  },
  answerInvalid: {
    severity: 'error',
    then: 'jambonz reads a body of the content type application/json as JSON. If that fails, the request has failed for jambonz, as if no answer had come',
    change: 'answer with valid JSON, or without a body and its content type. A proxy may have cut the answer'
  },
  answerIgnored: {
    severity: 'warning',
    then: 'jambonz runs no verbs of this answer: it accepts only a JSON array with the content type application/json',
    change: 'answer with an array of verbs and the content type application/json, or without a body'
  }
} satisfies Record<string, Kind>

export type ProblemCode = keyof typeof KINDS

/** Reports a problem of the socket or request of `url`. `error`: the story's error about the same failure. */
export type Report = (code: ProblemCode, what: string, url?: string, error?: string) => void

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

  readonly report: Report = (code, what, url, error) => {
    const key = `${code} ${what} ${url ?? ''}`
    if (this.#seen.has(key) || this.list.length >= MAX_PROBLEMS) return
    this.#seen.add(key)
    const problem: Problem = {
      code,
      ...KINDS[code],
      what,
      url,
      ...(error !== undefined && { error }),
      atMs: Math.round(this.#now())
    }
    this.list.push(problem)
    this.#found(problem)
  }
}

const MAX_SHOWN = 320

/** Returns text of the application, short enough for one line. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined')
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line
}
