import { samplesOf } from '../audio/pcm.js'
import { resample } from '../audio/resampler.js'
import { parseWav } from '../audio/wav.js'
import type { Fork } from './fork.js'
import { parseServerMessage } from './messages.js'

const RAW_RATES = [8_000, 16_000, 24_000, 32_000, 48_000, 64_000]
const DEFAULT_RAW_RATE = 16_000
const MAX_RECEIVED = 10_000

/** A sound the server sent to be played; `samples` is missing when the module could not make a file of it. */
export interface PlayAudio {
  id: unknown
  queue: boolean
  samples: Int16Array | undefined
  sampleRate: number
}

/**
 * A listen task as the media server's events reach it. FreeSWITCH's events name no fork, so on jambonz 0.9 each task gets
 * those of all forks of its leg (feature-server lib/tasks/task.js, eventIsForOurBug).
 */
export interface EndpointListener {
  playAudio: (audio: PlayAudio) => void
  /** A socket ended by its server, or by a `disconnect`. */
  disconnected: () => void
  /** A socket could not be opened, or its server sent an `error`: the task is done, its fork runs on. */
  failed: () => void
}

/** The server's commands as the feature server gets them. */
export interface ForkCommands {
  message: (message: unknown) => void
  playAudio: (audio: PlayAudio) => void
  killAudio: () => void
  disconnect: () => void
  error: (data: unknown) => void
  /** The media server died of this message (strcmp on NULL): so did every call on it. */
  crash: (why: string) => void
}

/** One text message of the server, as mod_audio_fork's processIncomingMessage takes it. */
export function handleCommand(text: string, fork: Fork, events: ForkCommands): void {
  const parsed = parseServerMessage(text)
  const { received } = fork.record
  if (received.length < MAX_RECEIVED) received.push(parsed?.message ?? text)
  events.message(parsed?.message ?? text)
  if (parsed === undefined) return
  const { type, message } = parsed
  switch (type) {
    case 'playAudio':
      return playAudio(message, fork, events)
    case 'killAudio':
      fork.playout.killAudio()
      return events.killAudio()
    case 'mark': {
      const name = (message.data as { name?: unknown } | null | undefined)?.name
      if (typeof name === 'string') fork.playout.mark(name)
      return
    }
    case 'clearMarks':
      return fork.playout.clearMarks()
    case 'disconnect':
      return events.disconnect()
    case 'error':
      return events.error(message.data)
    // transcription, transfer and json are events nobody in the listen task waits for; the rest is only logged
  }
}

function playAudio(message: Record<string, unknown>, fork: Fork, events: ForkCommands): void {
  if (fork.streaming || !('data' in message)) return
  const data =
    typeof message.data === 'object' && message.data !== null ? (message.data as Record<string, unknown>) : {}
  const { audioContentType, audioContent, sampleRate, id, queuePlay } = data
  if (typeof audioContentType !== 'string') {
    return events.crash('playAudio without audioContentType: it compares a string that is not there')
  }
  const audio: PlayAudio = { id, queue: Boolean(queuePlay), samples: undefined, sampleRate: 0 }
  if (typeof audioContent === 'string') {
    const bytes = decodeStrictly(audioContent)
    if (audioContentType === 'raw') {
      audio.sampleRate = RAW_RATES.includes(sampleRate as number) ? (sampleRate as number) : DEFAULT_RAW_RATE
      audio.samples = samplesOf(bytes)
    } else if (audioContentType === 'wav' || audioContentType === 'wave') {
      Object.assign(audio, wavOrNothing(bytes))
    }
  }
  events.playAudio(audio)
}

/** At the call's rate. */
export function soundAt(audio: PlayAudio, callRate: number): Int16Array | undefined {
  return audio.samples === undefined ? undefined : resample(audio.samples, audio.sampleRate, callRate)
}

// the module's base64 decoder stops without a word at the first character outside the alphabet
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
