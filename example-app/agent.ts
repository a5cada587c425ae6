import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { AudioStream } from 'fastify-jambonz-listen'

const RATE = 8_000
const BYTES_PER_MS = (RATE * 2) / 1000
const WAV_HEAD = 44
/** RMS of samples above which sound counts as speech: -37 dBFS */
const SPEECH = 450
/**
 * ms of speech after which the agent stops speaking (ONSET; a click is shorter), and ms of silence that end a
 * sentence (PAUSE)
 */
const ONSET = 60
const PAUSE = 600
/**
 * number of frames before the onset that belong to the sentence (LEAD_IN), and maximum number of frames in a
 * sentence (LONGEST)
 */
const LEAD_IN = 10
const LONGEST = 1_000

const prompt = readFileSync(join(import.meta.dirname, 'audio', 'prompt.wav')).subarray(WAV_HEAD)
/** The text of the prompt, as `audio/speak.sh` makes a speech synthesiser say it. */
const PROMPT =
  'I repeat what you say. Interrupt me whenever you like. Star keeps a card number off the record, pound ends the call.'

/** The agent line: an agent that repeats each sentence of the caller, and stops when the caller speaks. */
export default async function agent(app: FastifyInstance): Promise<void> {
  app.jambonz.webhook('/agent', async ({ call }) => [
    {
      verb: 'listen',
      url: '/agent/audio',
      actionHook: '/agent/done',
      bidirectionalAudio: { enabled: true, streaming: true, sampleRate: RATE },
      sampleRate: RATE,
      passDtmf: true,
      finishOnKey: '#',
      metadata: { line: 'agent', caller: call.from }
    }
  ])

  app.jambonz.audio('/agent/audio', async (stream) => {
    stream.on('dtmf', ({ digit }) => {
      if (digit === '*') togglePrivate(stream)
    })
    say(stream, prompt, PROMPT)
    for await (const sentence of sentences(stream)) say(stream, sentence)
  })

  app.jambonz.actionHook('/agent/done', async () => [{ verb: 'say', text: 'Goodbye.' }, { verb: 'hangup' }])
}

/**
 * Writes an utterance. The Listen's `output` then lists the utterance, and how much of it the caller heard.
 */
function say(stream: AudioStream, pcm: Buffer, text?: string): void {
  const utterance = stream.utterance({ text })
  utterance.write(pcm)
  utterance.end()
}

/**
 * Begins or ends privacy. What the caller says in between, such as a card number, is neither recorded nor
 * repeated.
 */
function togglePrivate(stream: AudioStream): void {
  if (stream.isPrivate) return stream.endPrivacy()
  stream.beginPrivacy()
  stream.clear()
}

/**
 * Yields the caller's speech, sentence by sentence. When a sentence begins, it makes the agent stop speaking.
 */
async function* sentences(stream: AudioStream): AsyncGenerator<Buffer> {
  let sentence: Buffer[] = []
  let loudMs = 0
  let quietMs = 0
  for await (const audio of stream as AsyncIterable<Buffer>) {
    const ms = audio.length / BYTES_PER_MS
    const isLoud = rms(audio) > SPEECH
    quietMs = isLoud ? 0 : quietMs + ms
    sentence.push(audio)
    if (stream.isPrivate) {
      sentence = []
      loudMs = 0
    } else if (loudMs < ONSET) {
      sentence = sentence.slice(-LEAD_IN)
      loudMs = isLoud ? loudMs + ms : 0
      if (loudMs >= ONSET) stream.clear()
    } else if (quietMs >= PAUSE || sentence.length > LONGEST) {
      yield Buffer.concat(sentence)
      sentence = []
      loudMs = 0
    }
  }
}

function rms(audio: Buffer): number {
  let squares = 0
  for (let at = 0; at < audio.length; at += 2) squares += audio.readInt16LE(at) ** 2
  return Math.sqrt((squares * 2) / audio.length)
}
