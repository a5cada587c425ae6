import { samplesOf } from '../audio/pcm.js'
import { resample } from '../audio/resampler.js'
import { parseWav } from '../audio/wav.js'
import type { Fork } from './fork.js'
import { quote, type ProblemCode } from '../problems.js'
import { parseServerMessage } from './messages.js'

const RAW_RATES = [8_000, 16_000, 24_000, 32_000, 48_000, 64_000]
const DEFAULT_RAW_RATE = 16_000
const MAX_RECEIVED = 10_000

/** A sound of a playAudio. `samples` is missing if the module could not make a file of it. */
export interface PlayAudio {
  id: unknown
  queue: boolean
  samples: Int16Array | undefined
  sampleRate: number
}

/**
 * Receives the media server's events for a listen task. FreeSWITCH's events name no fork, so on jambonz 0.9 each task
 * gets the events of all forks of its leg (feature-server lib/tasks/task.js, eventIsForOurBug).
 */
export interface EndpointListener {
  /** True if the listen accepts playAudio, because its bidirectional audio is on. */
  playsFiles: boolean
  playAudio: (audio: PlayAudio) => void
  /** Called when the server ended a socket, by a close or a `disconnect`. */
  disconnected: () => void
  /** Called when a socket could not be opened, or its server sent `error`. The task then ends, but its fork goes on. */
  failed: () => void
}

/** Receives the commands that the server sends on an audio socket, as the feature server does. */
export interface ForkCommands {
  message: (message: unknown) => void
  playAudio: (audio: PlayAudio) => void
  killAudio: () => void
  disconnect: () => void
  error: (data: unknown) => void
  /** Called when the message crashed the media server (strcmp on NULL), which ends every call on it. */
  crash: (why: string) => void
  problem: (code: ProblemCode, what: string) => void
}

/** Handles a text message of the server as mod_audio_fork's processIncomingMessage does. */
export function handleCommand(text: string, fork: Fork, events: ForkCommands): void {
  const parsed = parseServerMessage(text)
  const { received } = fork.record
  if (received.length < MAX_RECEIVED) received.push(parsed?.message ?? text)
  events.message(parsed?.message ?? text)
  if (parsed === undefined) {
    return events.problem('noJson', `the server sent text that is not a JSON object: ${quote(text)}`)
  }
  const { type, message } = parsed
  switch (type) {
    case 'playAudio':
      return playAudio(message, fork, events)
    case 'killAudio':
      fork.playout.killAudio()
      return events.killAudio()
    case 'mark': {
      return mark((message.data as { name?: unknown } | null | undefined)?.name, fork, events)
    }
    case 'clearMarks':
      return fork.playout.clearMarks()
    case 'disconnect':
      return events.disconnect()
    case 'error':
      return events.error(message.data)
    case 'json':
      if (typeof message.type !== 'string') {
        events.problem('noType', `the server sent a message without a type: ${quote(message)}`)
      }
      return
    case 'transcription':
    case 'transfer':
      // The listen task ignores these events.
      return
    default:
      events.problem('unknownMessage', `the server sent a message of the unknown type '${quote(type)}'`)
  }
}

function mark(name: unknown, fork: Fork, { problem }: ForkCommands): void {
  if (typeof name !== 'string') return problem('markIgnored', 'the server sent a mark without a name')
  if (!fork.streaming) {
    return problem('markIgnored', `mark '${quote(name)}' came to a listen that does not stream`)
  }
  if (!fork.playout.mark(name)) problem('markIgnored', `mark '${quote(name)}' is the 31st mark that waits`)
}

function playAudio(message: Record<string, unknown>, fork: Fork, events: ForkCommands): void {
  if (fork.streaming) {
    return events.problem('playAudioWhileStreaming', 'the server sent playAudio to a listen that streams')
  }
  if (!('data' in message)) {
    return events.problem('playAudioWithoutData', 'the server sent playAudio without data')
  }
  const data =
    typeof message.data === 'object' && message.data !== null ? (message.data as Record<string, unknown>) : {}
  const { audioContentType, audioContent, sampleRate, id, queuePlay } = data
  if (typeof audioContentType !== 'string') {
    const lacks = message.data === null ? 'with data: null' : 'without data.audioContentType'
    events.problem('playAudioCrash', `the server sent playAudio ${lacks}`)
    return events.crash(
      'playAudio without audioContentType: mod_audio_fork compares a string that is missing'
    )
  }
  const audio: PlayAudio = { id, queue: Boolean(queuePlay), samples: undefined, sampleRate: 0 }
  if (typeof audioContent !== 'string' || audioContent === '') {
    events.problem('playAudioWithoutContent', 'the server sent playAudio without data.audioContent')
  }
  if (typeof audioContent === 'string') {
    const bytes = decodeStrictly(audioContent)
    if (bytes.length < 2 && audioContent !== '') {
      events.problem(
        'playAudioWithoutContent',
        'data.audioContent of a playAudio has no sample, because it is not plain base64'
      )
    } else if (bytes.length < Math.floor((audioContent.replace(/=+$/, '').length * 3) / 4)) {
      events.problem('playAudioCut', 'data.audioContent of a playAudio is not plain base64')
    }
    if (audioContentType === 'raw') {
      const known = RAW_RATES.includes(sampleRate as number)
      if (!known) {
        events.problem(
          'playAudioRate',
          `data.sampleRate of a playAudio is ${JSON.stringify(sampleRate) ?? 'missing'}`
        )
      }
      audio.sampleRate = known ? (sampleRate as number) : DEFAULT_RAW_RATE
      audio.samples = samplesOf(bytes)
    } else if (audioContentType === 'wav' || audioContentType === 'wave') {
      Object.assign(audio, wavOrNothing(bytes))
    }
    if (audio.samples === undefined) {
      const kind =
        audioContentType === 'wav' || audioContentType === 'wave'
          ? 'not a 16-bit PCM WAV'
          : `of the type '${quote(audioContentType)}'`
      events.problem('playAudioUnplayable', `the audio of a playAudio is ${kind}`)
    }
  }
  events.playAudio(audio)
}

/** Returns the samples of a playAudio at the call's rate. */
export function soundAt(audio: PlayAudio, callRate: number): Int16Array | undefined {
  return audio.samples === undefined ? undefined : resample(audio.samples, audio.sampleRate, callRate)
}

// The module's base64 decoder stops at the first character that is not base64, and reports no error.
function decodeStrictly(base64: string): Buffer {
  const plain = /^[A-Za-z0-9+/]*/.exec(base64)![0]
  return Buffer.from(plain, 'base64')
}

function wavOrNothing(bytes: Buffer): { samples: Int16Array | undefined; sampleRate: number } {
  try {
    return parseWav(bytes)
  } catch {
    return { samples: undefined, sampleRate: 0 }
  }
}
