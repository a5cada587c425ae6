import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import t from 'tap'
import { folder } from '../helpers/build.js'
import { ramp } from '../helpers/listen.js'
import { callWebhook } from '../helpers/payloads.js'
import { openSocket } from '../helpers/socket.js'
import { until } from '../helpers/until.js'

// The terminal gives it to every process of the group; one that hands it on as well makes two of it, and of the second
// the application dies at once.
t.test('Ctrl-C of npm start gives live calls their time, and their recordings a name', async (t) => {
  const directory = folder()
  const npm = spawn('npm', ['start'], {
    detached: true,
    env: { ...process.env, PORT: '0', RECORDINGS_DIR: directory, DRAIN_SECONDS: '1' }
  })
  t.teardown(() => {
    try {
      process.kill(-npm.pid!, 'SIGKILL')
    } catch {}
  })
  let output = ''
  for (const stream of [npm.stdout, npm.stderr]) {
    stream.on('data', (data) => {
      output += data
    })
  }
  const [, base] = await until(
    () => /listening at (http:\/\/[\d.:]+)/.exec(output),
    'the application to listen',
    60_000
  )
  const payload = JSON.stringify(callWebhook())
  const answer = await fetch(`${base}/voicemail`, {
    method: 'POST',
    body: payload,
    headers: { 'content-type': 'application/json' }
  })
  const listen = ((await answer.json()) as Array<{ verb: string; url: string }>).find(
    ({ verb }) => verb === 'listen'
  )
  const socket = await openSocket(base! + listen!.url)
  socket.on('message', (data) => {
    if (String(data).includes('disconnect')) socket.close(1000)
  })
  socket.send(payload)
  socket.send(ramp(500))
  await until(() => output.includes('listen streams'), 'the call to stream')
  process.kill(-npm.pid!, 'SIGINT')
  await Promise.all([once(socket, 'close'), once(npm, 'exit'), once(npm, 'close')])
  t.notMatch(output, /second SIGINT/)
  const files = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.wav'))
  t.equal(files.length, 1)
  t.notMatch(files[0], /\.part\./)
})
