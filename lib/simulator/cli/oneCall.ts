import { writeFileSync } from 'node:fs'
import { simulateCall } from '../index.js'
import type { SimulatedCall } from '../call.js'
import type { CallStory, SimulateCallOptions } from '../types.js'
import type { Command } from './arguments.js'
import type { Surroundings } from './main.js'
import { describeProblem, seconds, storyLine, timedLine } from './storyLines.js'
import { bar, meter, Terminal } from './terminal.js'

/** Runs one call and prints its events. Resolves to true if nothing failed. */
export async function runOneCall(
  command: Command,
  options: SimulateCallOptions,
  { stdout, interrupt }: Surroundings
): Promise<boolean> {
  const terminal = new Terminal(stdout)
  const call = simulateCall({
    ...options,
    onEvent: (event) => {
      const line = command.json ? undefined : storyLine(event)
      if (line !== undefined) terminal.line(timedLine(event.atMs, ...line))
    }
  })
  const onInterrupt = () => call.hangUp()
  interrupt.addEventListener('abort', onInterrupt, { once: true })
  if (!command.json) terminal.showStatus(statusLine(call))
  const story = await call
  terminal.hideStatus()
  interrupt.removeEventListener('abort', onInterrupt)
  if (command.saveHeard !== undefined) writeFileSync(command.saveHeard, story.heard.wav())
  if (command.json) {
    stdout.write(`${JSON.stringify(plainStory(story), null, 2)}\n`)
  } else {
    for (const line of summary(story, command.saveHeard)) terminal.line(line)
  }
  return isOk(story)
}

/** Returns true if nothing failed. A warning does not count as a failure. */
export function isOk({ errors, problems }: CallStory): boolean {
  return errors.length === 0 && problems.every(({ severity }) => severity === 'warning')
}

/** Returns the story without its audio. */
export function plainStory(story: CallStory): object {
  const { heard, listens, ...rest } = story
  return {
    ...rest,
    listens: listens.map(({ sent, right, output, ...listen }) => ({
      ...listen,
      sent: { frames: sent.frames, bytes: sent.bytes, sha256: sent.sha256, texts: sent.texts }
    })),
    heard: { bytes: heard.pcm.length, sampleRate: heard.sampleRate, marks: heard.marks }
  }
}

function statusLine(call: SimulatedCall): () => string {
  const longest = call.unsaidMs
  return () => {
    const { said, heard } = call.levels
    const open = call.listens.filter(
      ({ openedAtMs, closedAtMs }) => openedAtMs !== undefined && closedAtMs === undefined
    )
    const progress = longest === 0 ? '' : `  speech ${bar(1 - call.unsaidMs / longest)}`
    return `${(call.now / 1000).toFixed(1).padStart(7)} s   says ${meter(said)}  hears ${meter(heard)}${progress}  ${open.length} open`
  }
}

function summary(story: CallStory, saved: string | undefined): string[] {
  const { verbs, listens, errors, problems, durationMs, callSid, hangupBy } = story
  const messages = listens.reduce((sum, { sent }) => sum + sent.frames, 0)
  const by = { caller: 'the caller', jambonz: 'jambonz', nobody: 'nobody' }[hangupBy]
  return [
    '',
    `${isOk(story) ? 'ok' : 'FAILED'}: call ${callSid}, ${seconds(durationMs)}, ${verbs.length} verbs, ${listens.length} listens, ${messages} audio messages, hung up by ${by}`,
    ...verbs.filter(({ note }) => note !== undefined).map(({ verb, note }) => `note: ${verb}: ${note}`),
    ...(saved === undefined ? [] : [`heard: ${saved}`]),
    ...errors.map((error) => `error: ${error}`),
    ...problems.flatMap(describeProblem)
  ]
}
