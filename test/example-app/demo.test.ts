import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { folder } from '../helpers/build.js'

t.test('the demo takes a message and a conversation, and finds all voices in the recordings', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, ['dist/example-app/demo.js'], {
    env: { ...process.env, RECORDINGS_DIR: folder() }
  })
  t.match(stdout, /The message is recorded, 7\.\d s: every byte of what the caller said/)
  t.match(stdout, /The conversation is recorded, \d+\.\d s, and both voices are in it/)
  t.match(stdout, /left {3}the caller, every byte/)
  t.match(stdout, /right {2}the agent as the caller heard it: correlation (?:0\.9|1\.0)/)
  t.match(stdout, /of the prompt, then the caller interrupted\n.* of an echo, to its end/)
})
