import { closeSync, openSync, writeFileSync } from 'node:fs'
import { reasonOf } from '../errors.js'
import { simulateCall } from '../index.js'
import type { SimulatedCall } from '../call.js'
import type { CallStory, SimulateCallOptions } from '../types.js'
import type { Command } from './arguments.js'
import type { Surroundings } from './main.js'
import { counted, describeProblem, seconds, storyLine, timedLine } from './storyLines.js'
import { bar, meter, Terminal } from './terminal.js'

/** Runs one call and prints its events. Resolves to true if nothing failed. */
export async function runOneCall(
  command: Command,
  options: SimulateCallOptions,
  { stdout, interrupt }: Surroundings
): Promise<boolean> {
  if (command.saveHeard !== undefined) checkWritable(command.saveHeard)
  const terminal = new Terminal(stdout)
  // The line of a failed request or refused socket says everything about this failure.
  const told = new Set<string>()
  const call = simulateCall({
    ...options,
    onEvent: (event) => {
      if (event.name === 'problem' && event.payload.error !== undefined) {
        told.add(event.payload.error)
        return
      }
      if (event.name === 'error' && told.has(event.payload.text)) return
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

/** Throws if the file can't be written, before a call is made whose audio would be lost. */
function checkWritable(file: string): void {
  try {
    closeSync(openSync(file, 'a'))
  } catch (error) {
    throw new Error(`--save-heard: ${reasonOf(error)}`)
  }
}

/** Returns the errors that no problem of the story explains. */
export function unexplained({ errors, problems }: CallStory): string[] {
  const explained = new Set(problems.map(({ error }) => error))
  return errors.filter((error) => !explained.has(error))
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
  const { verbs, listens, problems, durationMs, callSid, hangupBy } = story
  const messages = listens.reduce((sum, { sent }) => sum + sent.frames, 0)
  const by = { caller: 'the caller', jambonz: 'jambonz', nobody: 'nobody' }[hangupBy]
  return [
    '',
    `${isOk(story) ? 'ok' : 'FAILED'}: call ${callSid}, ${seconds(durationMs)}, ${counted(verbs.length, 'verb')}, ${counted(listens.length, 'listen')}, ${counted(messages, 'audio message')}, hung up by ${by}`,
    ...verbs.filter(({ note }) => note !== undefined).map(({ verb, note }) => `note: ${verb}: ${note}`),
    ...(saved === undefined ? [] : [`heard: ${saved}`]),
    ...problems.flatMap(describeProblem),
    ...Array.from(new Set(unexplained(story)), (error) => `error: ${error}`)
  ]
}
