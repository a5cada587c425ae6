#!/usr/bin/env node
import { main } from './cli/main.js'

const interrupt = new AbortController()
process.once('SIGINT', () => {
  interrupt.abort()
  process.stderr.write('\njambonz-simulate: the callers hang up; press Ctrl+C again to stop at once\n')
})
// If the reader of a pipe has left, as in `jambonz-simulate … | head -1`, nobody reads further lines.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  interrupt.abort()
  if (error.code === 'EPIPE' || process.exitCode !== undefined) return
  process.stderr.write(`jambonz-simulate: the output could not be written: ${error.message}\n`)
  process.exitCode = 1
})
process.stderr.on('error', () => {})
const code = await main(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  interrupt: interrupt.signal
})
process.exitCode ??= code
