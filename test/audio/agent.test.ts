import t from 'tap'
import type { AudioStream } from '../../lib/index.js'
import { bytesOf, samplesOf } from '../../lib/pcm/samples.js'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, listening } from '../helpers/build.js'
import { until } from '../helpers/until.js'

const PROMPT_MS = 3_000
const PROMPT = bytesOf(Int16Array.from({ length: PROMPT_MS * 8 }, (_, i) => 500 + (i % 400)))
/** The caller's sentence: 400 ms of noise that occurs nowhere else in the audio. */
const SENTENCE = Int16Array.from({ length: 3_200 }, (_, i) => 2_000 + ((i * 7_919) % 20_000))

t.test(
  'an echo agent knows how much of an interrupted prompt was heard, and repeats the caller exactly',
  async (t) => {
    const outcomes: string[] = []
    let heardMs = 0

    /** Plays the prompt, stops when the caller speaks, repeats what the caller said, and hangs up. */
    async function agent(stream: AudioStream): Promise<void> {
      const said: Buffer[] = []
      stream.on('audio', (frame) => {
        if (frame.some((byte) => byte !== 0)) said.push(Buffer.from(frame))
      })
      stream.write(PROMPT)
      const prompt = stream.mark('prompt')
      await until(() => said.length > 0, 'the caller to speak')
      heardMs = stream.playedMs
      stream.clear()
      outcomes.push(await prompt)
      await until(() => Buffer.concat(said).length >= SENTENCE.length * 2, 'the whole sentence')
      stream.write(Buffer.concat(said))
      outcomes.push(await stream.mark('echo'))
      await stream.disconnect()
    }

    const app = await build(t)
    app.jambonz.webhook('/agent', async () => [
      {
        verb: 'listen',
        url: '/agent/audio',
        actionHook: '/agent/done',
        bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8000 }
      }
    ])
    app.jambonz.actionHook('/agent/done', async () => [{ verb: 'hangup' }])
    app.jambonz.audio('/agent/audio', agent)

    const call = simulateCall({
      url: `${await listening(app)}/agent`,
      speech: null,
      speed: 1,
      patienceMs: 20_000
    })
    await until(() => samplesOf(call.heard().pcm).filter(isPrompt).length > 4_000, 'the prompt to be heard')
    await call.speak({ pcm: bytesOf(SENTENCE), sampleRate: 8000 })
    const story = await call

    t.same(story.errors, [])
    t.same(outcomes, ['cleared', 'playout'])
    const heard = samplesOf(story.heard.pcm)
    const promptMs = heard.filter(isPrompt).length / 8
    t.ok(promptMs >= 500 && promptMs < PROMPT_MS, `${promptMs} ms of the prompt were heard`)
    t.ok(Math.abs(heardMs - promptMs) <= 400, `the plugin says that ${heardMs} ms of the prompt were heard`)
    const at = heard.indexOf(SENTENCE[0] ?? 0)
    t.same([...heard.slice(at, at + SENTENCE.length)], [...SENTENCE])
  }
)

t.test(
  'queued files play with about 160 ms of silence between two files; after clear() no later file is heard',
  async (t) => {
    const tone = (value: number, ms: number) => bytesOf(new Int16Array(ms * 8).fill(value))
    const done: Array<{ id?: unknown; heardMs: number }> = []
    const app = await build(t)
    app.jambonz.webhook('/files', async () => [
      { verb: 'listen', url: '/files/audio', actionHook: '/files/done' }
    ])
    app.jambonz.actionHook('/files/done', async () => [{ verb: 'hangup' }])
    app.jambonz.audio('/files/audio', async (stream) => {
      const files = [1_000, 2_000, 3_000, 4_000].map((value) =>
        stream.play(tone(value, 400), { id: String(value), queue: true, sampleRate: 8000 })
      )
      done.push(await files[0]!, await files[1]!)
      await new Promise((resolve) => setTimeout(resolve, 250))
      stream.clear()
      done.push(await files[2]!, await files[3]!)
      await stream.disconnect()
    })
    const story = await simulateCall({
      url: `${await listening(app)}/files`,
      speech: null,
      speed: 1,
      patienceMs: 20_000
    })
    t.same(story.errors, [])
    const heard = samplesOf(story.heard.pcm)
    const gapMs = (heard.indexOf(2_000) - heard.lastIndexOf(1_000)) / 8
    t.comment(`${gapMs} ms between two queued files`)
    t.ok(gapMs >= 120 && gapMs <= 400, `${gapMs} ms`)
    t.notOk(heard.includes(4_000), 'nothing of the next file is heard')
    const stoppedMs = heard.filter((sample) => sample === 3_000).length / 8
    t.ok(stoppedMs < 400)
    t.ok(
      Math.abs((done[2]?.heardMs ?? 0) - stoppedMs) <= 20,
      `${done[2]?.heardMs} ms told, ${stoppedMs} heard`
    )
    t.equal(done[3]?.heardMs, 0)
  }
)

function isPrompt(sample: number): boolean {
  return sample >= 500 && sample < 900
}
