import { createRequire } from 'node:module'
import { reasonOf } from '../errors.js'
import { parseCommand, type Command } from './arguments.js'
import { runLoad } from './load.js'
import { runOneCall } from './oneCall.js'
import { synthesise } from './say.js'
import type { Output } from './terminal.js'
import { USAGE, UsageError } from './usage.js'

/** The outputs of a command, and the signal that interrupts it: the caller then hangs up. */
export interface Surroundings {
  stdout: Output
  stderr: Output
  interrupt: AbortSignal
}

const OK = 0
const FAILED = 1
const WRONG_USAGE = 2

/** Runs `jambonz-simulate`. Resolves to its exit code: 0 success, 1 a call failed, 2 wrong usage. */
export async function main(argv: string[], surroundings: Surroundings): Promise<number> {
  const { stdout, stderr } = surroundings
  try {
    const command = parseCommand(argv)
    if (command.help) {
      stdout.write(USAGE)
      return OK
    }
    if (command.version) {
      stdout.write(`${version()}\n`)
      return OK
    }
    const options = { ...command.call, ...(await spoken(command, stderr)) }
    const run = command.calls === undefined ? runOneCall : runLoad
    return (await run(command, options, surroundings)) ? OK : FAILED
  } catch (error) {
    stderr.write(`jambonz-simulate: ${reasonOf(error)}\n`)
    if (!isUsageError(error)) return FAILED
    stderr.write('jambonz-simulate --help lists the options\n')
    return WRONG_USAGE
  }
}

function version(): string {
  const load = createRequire(import.meta.url)
  return (load('fastify-jambonz-listen/package.json') as { version: string }).version
}

async function spoken({ say }: Command, stderr: Output): Promise<Pick<Command['call'], 'speech'>> {
  if (say === undefined) return {}
  const { speech, real } = await synthesise(say)
  if (!real) {
    stderr.write('jambonz-simulate: espeak-ng is not installed: the caller says a speech-like signal\n')
  }
  return { speech }
}

// If the simulator refuses a value, that also counts as wrong usage.
function isUsageError(error: unknown): boolean {
  if (error instanceof UsageError) return true
  const code = (error as { code?: unknown } | null)?.code
  return code === 'FST_JAMBONZ_SIM_OPTIONS' || code === 'FST_JAMBONZ_SIM_AUDIO'
}
