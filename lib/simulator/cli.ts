#!/usr/bin/env node
import { main } from './cli/main.js'

const interrupt = new AbortController()
process.once('SIGINT', () => interrupt.abort())
process.exitCode = await main(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  interrupt: interrupt.signal
})
