import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { PlayStall } from '../../helpers/playChild.js'
import { number, table } from '../harness/table.js'
import type { Section } from './types.js'

/** tsx runs the TypeScript of the child, because the compiled copy of the project does not contain it. */
const CHILD = fileURLToPath(new URL('../../helpers/playChild.ts', import.meta.url))

/** Measures how long the conversion of files blocks the event loop at most. */
export const play: Section = {
  title: 'Playing files',
  quick: true,
  async run({ log }) {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', CHILD])
    const { stallMs, controlMs, convertedMs } = JSON.parse(stdout) as PlayStall
    log(`the event loop stood still for ${number(stallMs)} ms`)
    return (
      'Five `play()` at once, each of a minute of 44.1 kHz stereo: the longest in which the event loop did not turn, ms\n\n' +
      table(
        ['', 'ms', 'goal'],
        [
          ['`play()`', number(stallMs), 20],
          ['a process that works in parts of 1 ms, beside it', number(controlMs), ''],
          ['conversion of one file, in all', number(convertedMs), '']
        ]
      )
    )
  }
}
