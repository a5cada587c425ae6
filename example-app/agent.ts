import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { AudioStream } from 'fastify-jambonz-listen'

const RATE = 8_000
const BYTES_PER_MS = RATE * 2 / 1000
const WAV_HEAD = 44
/** RMS of samples from which sound is taken for speech: -37 dBFS */
const SPEECH = 450
/** ms of it that interrupt what is being said, so that a click does not */
const ONSET = 60
/** frames before it that belong to the sentence */
const LEAD_IN = 10
/** ms of silence that end a sentence */
const PAUSE = 600
/** frames of the longest sentence that is repeated */
const LONGEST = 1_000

const prompt = readFileSync(join(import.meta.dirname, 'audio', 'prompt.wav')).subarray(WAV_HEAD)

/** An echo: repeats each sentence of the caller, and falls silent when he speaks. */
export default async function agent (app: FastifyInstance): Promise<void> {
  app.jambonz.webhook('/agent', async ({ call }) => [{
    verb: 'listen',
    url: '/agent/audio',
    actionHook: '/agent/done',
    bidirectionalAudio: { enabled: true, streaming: true, sampleRate: RATE },
    sampleRate: RATE,
    passDtmf: true,
    finishOnKey: '#',
    metadata: { line: 'agent', caller: call.from }
  }])

  app.jambonz.audio('/agent/audio', async (stream) => {
    // Notes on the call: every instance has them, and the desk shows this one.
    const note = (agent: string) => app.jambonz.calls.update(stream.callSid, { agent }).catch((err: unknown) => app.log.warn({ err }, 'not noted'))
    const say = async (audio: Buffer) => {
      stream.write(audio)
      await note('speaks')
      await note(await stream.mark('said') === 'cleared' ? 'interrupted' : 'listens')
    }
    stream.on('dtmf', ({ digit }) => { if (digit === '*') togglePrivate(stream) })
    say(prompt)
    let sentence: Buffer[] = []
    let talking = false
    let loudMs = 0
    let quietMs = 0
    for await (const audio of stream as AsyncIterable<Buffer>) {
      if (isPrivate(stream)) {
        sentence = []
        talking = false
        continue
      }
      const ms = audio.length / BYTES_PER_MS
      const loud = rms(audio) > SPEECH
      loudMs = loud ? loudMs + ms : 0
      quietMs = loud ? 0 : quietMs + ms
      sentence.push(audio)
      if (!talking) {
        talking = loudMs >= ONSET
        if (talking) stream.clear()
        else sentence = sentence.slice(-LEAD_IN)
      } else if (quietMs >= PAUSE || sentence.length > LONGEST) {
        say(Buffer.concat(sentence))
        sentence = []
        talking = false
      }
    }
  })

  app.jambonz.actionHook('/agent/done', async () => [{ verb: 'say', text: 'Goodbye.' }, { verb: 'hangup' }])
}

/** A card number is neither recorded nor repeated. */
function togglePrivate (stream: AudioStream): void {
  if (isPrivate(stream)) return stream.recording?.resume()
  stream.recording?.pause('silence')
  stream.clear()
}

function isPrivate (stream: AudioStream): boolean {
  return stream.recording?.state === 'paused'
}

function rms (audio: Buffer): number {
  let squares = 0
  for (let at = 0; at < audio.length; at += 2) squares += audio.readInt16LE(at) ** 2
  return Math.sqrt(squares * 2 / audio.length)
}
