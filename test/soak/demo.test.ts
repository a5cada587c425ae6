import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { folder } from '../helpers/build.js'

// Both demos run at the same time, because they use little CPU.
t.jobs = 2
for (const args of [[], ['--websocket']]) {
  t.test(
    `npm run demo ${args.join(' ')} records a message and a conversation, and finds all voices in the recordings`,
    { buffered: true },
    (t) => demo(t, args)
  )
}

async function demo(t: Test, args: string[]): Promise<void> {
  const { stdout } = await promisify(execFile)(process.execPath, ['dist/example-app/demo.js', ...args], {
    env: { ...process.env, RECORDINGS_DIR: folder() }
  })
  t.match(stdout, args.length > 0 ? /The application is at ws:/ : /The application is at http:/)
  t.match(stdout, /The message is recorded, 7\.\d s: every byte of what the caller said/)
  t.match(stdout, /The conversation is recorded, \d+\.\d s, and both voices are in it/)
  t.match(stdout, /left {3}the caller, every byte/)
  t.match(stdout, /right {2}the agent as the caller heard it: correlation (?:0\.9|1\.0)/)
  t.match(stdout, /of the prompt, then the caller interrupted\n.* of an echo, to its end/)
}
