import t, { type Test } from 'tap'
import { createEndpoint, type AudioStream } from '@jambonz/sdk/websocket'
import { WebhookResponse } from '@jambonz/sdk/webhook'
import express from 'express'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { main } from '../../lib/simulator/cli/main.js'
import { synthesise } from '../../lib/simulator/cli/say.js'
import { storyLine } from '../../lib/simulator/cli/storyLines.js'
import { bar, meter, Terminal } from '../../lib/simulator/cli/terminal.js'
import {
  parseWav,
  speechLike,
  wavOf,
  type ListenRecord,
  type RequestRecord,
  type SimulatorEvent
} from '../../lib/simulator/index.js'
import { application, ramp } from './peers.js'
import { until } from '../helpers/until.js'

class Screen extends Writable {
  text = ''
  isTTY: boolean
  columns = 120
  constructor(isTTY = false) {
    super()
    this.isTTY = isTTY
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.text += chunk.toString()
    callback()
  }
}

async function run(
  argv: string[],
  options: { tty?: boolean; interrupt?: AbortSignal } = {}
): Promise<{ code: number; out: string; err: string }> {
  const stdout = new Screen(options.tty)
  const stderr = new Screen()
  const code = await main(argv, {
    stdout,
    stderr,
    interrupt: options.interrupt ?? new AbortController().signal
  })
  return { code, out: stdout.text, err: stderr.text }
}

/**
 * No validation by the SDK, because it would compile jambonz' schemas again for each response. The simulator
 * checks the verbs anyway.
 */
const UNCHECKED = { validate: false }

// Starts an application as jambonz' documentation shows it: Express for the webhooks, @jambonz/sdk for verbs
// and audio.
async function sdkApplication(
  t: Test
): Promise<{ url: string; streams: AudioStream[]; audio: Buffer[]; hooks: unknown[] }> {
  const streams: AudioStream[] = []
  const audio: Buffer[] = []
  const hooks: unknown[] = []
  const quiet = { info: () => {}, error: () => {}, debug: () => {} }
  const audioServer = createServer()
  const endpoint = createEndpoint({ server: audioServer, logger: quiet })
  endpoint.audio({ path: '/audio' }).on('connection', (stream: AudioStream) => {
    streams.push(stream)
    stream.on('audio', (pcm: Buffer) => audio.push(pcm))
    stream.playAudio(ramp(1_600, 9_000).toString('base64'), { id: 'greeting', sampleRate: 8_000 })
    stream.on('playDone', () => stream.disconnect())
  })
  await new Promise<void>((resolve) => audioServer.listen(0, '127.0.0.1', resolve))
  const { port } = audioServer.address() as AddressInfo
  const app = express()
  app.use(express.json())
  app.post('/incoming', (_request, response) => {
    const jambonz = new WebhookResponse(UNCHECKED)
    jambonz
      .say({ text: 'Hello' })
      .listen({ url: `ws://127.0.0.1:${port}/audio`, actionHook: '/done', metadata: { tenant: 'acme' } })
    response.json(jambonz)
  })
  app.post('/done', (request, response) => {
    hooks.push(request.body)
    response.json(new WebhookResponse(UNCHECKED).hangup())
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
    audioServer.closeAllConnections()
    audioServer.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/incoming`, streams, audio, hooks }
}

t.test(
  'jambonz-simulate runs a call through an Express application and the audio socket of @jambonz/sdk',
  async (t) => {
    const { url, streams, audio, hooks } = await sdkApplication(t)
    const heard = join(t.testdir(), 'heard.wav')
    const wav = join(t.testdir({ 'speech.wav': wavOf(ramp(8_000), 8_000) }), 'speech.wav')
    const { code, out, err } = await run([
      url,
      '--speed',
      'max',
      '--audio',
      wav,
      '--save-heard',
      heard,
      '--call-sid',
      'cli-1'
    ])
    t.equal(err, '')
    t.equal(code, 0)
    t.match(streams[0]!.metadata, { callSid: 'cli-1', sampleRate: 8_000, tenant: 'acme' })
    t.ok(ramp(8_000).includes(Buffer.concat(audio)) && audio.length > 5, 'the application heard the speech')
    t.match(hooks, [{ call_sid: 'cli-1', dial_call_duration: 0 }])
    t.ok(readFileSync(heard).includes(ramp(1_600, 9_000)), 'the caller heard the application')
    for (const part of [
      'webhook',
      '/incoming -> 200',
      ': say, listen',
      'verb      say Hello',
      'open',
      'message',
      '"audioContent":"<',
      'played    greeting: 200 ms',
      'closed    1000 by jambonz after',
      'hook',
      'hung up   by jambonz',
      'ok: call cli-1'
    ]) {
      t.ok(out.includes(part), `the output contains ${part}`)
    }
    t.notMatch(out, '\x1b', 'without a terminal, the lines contain no escape codes')
  }
)

t.test('the installed command runs a call as a process', async (t) => {
  const { url, hooks } = await sdkApplication(t)
  const result = await new Promise<{ code: unknown; out: string }>((resolve) => {
    const child = execFile(
      process.execPath,
      ['dist/lib/simulator/cli.js', url, '--speed', 'max', '--json'],
      (_error, out) => resolve({ code: child.exitCode, out })
    )
  })
  t.equal(result.code, 0)
  const story = JSON.parse(result.out) as {
    errors: string[]
    listens: Array<{ sent: { bytes: number; sha256: string } }>
    heard: { bytes: number }
  }
  t.strictSame(story.errors, [])
  t.match(story.listens, [{ sent: { bytes: Number, sha256: /^[0-9a-f]{64}$/ } }])
  t.ok(story.heard.bytes > 0)
  t.equal(hooks.length, 1)
  t.match(readFileSync('lib/simulator/cli.ts', 'utf8'), /^#!\/usr\/bin\/env node\n/)
})

t.test('the url may begin with a host, and may have an IPv6 address', async (t) => {
  const app = await application(t, { '/in': [{ verb: 'say', text: 'Hello' }] })
  const host = new URL(app.url('/in')).host
  const { code, out } = await run([`${host}/in`, '--speed', 'max'])
  t.equal(code, 0)
  t.match(out, `POST http://${host}/in -> 200`)
  const addresses = Object.values(networkInterfaces()).flat()
  if (!addresses.some((at) => at?.address === '::1')) return t.comment('this machine has no IPv6')
  const six = createServer((_request, response) => response.end())
  await new Promise<void>((resolve, reject) => six.on('error', reject).listen(0, '::1', resolve))
  t.teardown(() => six.close())
  const { port } = six.address() as AddressInfo
  t.match((await run([`http://[::1]:${port}/in`, '--speed', 'max'])).out, ' -> 200 in ')
})

t.test('the installed command ends quietly if its output is not read', async (t) => {
  // Each verb prints a line, so the command soon notices that nobody reads.
  const verbs = Array.from({ length: 600 }, () => ({ verb: 'say', text: 'Hi' }))
  const app = await application(t, { '/in': verbs })
  const child = spawn(process.execPath, ['dist/lib/simulator/cli.js', app.url('/in')], { stdio: 'pipe' })
  const errors = child.stderr.toArray()
  child.stdout.once('data', () => child.stdout.destroy())
  const [code] = (await once(child, 'exit')) as [number]
  t.strictSame([code, Buffer.concat(await errors).toString()], [0, ''])
})

t.test('in a terminal, a line with level meters and progress stays below the events', async (t) => {
  const app = await application(
    t,
    {
      '/in': [
        { verb: 'config', listen: { enable: true, url: '/audio' } },
        { verb: 'listen', url: '/audio', finishOnKey: '#' }
      ]
    },
    () => {}
  )
  const { code, out } = await run(
    [app.url('/in'), '--speed', '10', '--press', '#', '--status-hook', app.url('/status')],
    { tty: true }
  )
  t.notMatch(
    (await run([app.url('/in'), '--speed', '10', '--press', '#', '--silent'], { tty: true })).out,
    'speech ▕'
  )
  t.equal(code, 0)
  t.match(out, '\r\x1b[2K')
  t.match(out, /says ▕█+·*▏ {2}hears ▕·+▏ {2}speech ▕█*·*▏ {2}\d open/)
  t.match(out, '(background)')
  t.match(out, /status {4}completed POST/)
  t.strictSame([meter(0), meter(1)], [bar(0), bar(1)])
})

t.test('a failed call, a refused listen, notes and errors are printed, with exit code 1', async (t) => {
  const refused = await application(t, {
    '/in': [{ verb: 'listen', url: '/audio' }, { verb: 'conference', name: 'x' }, { verb: 'hangup' }]
  })
  const first = await run([refused.url('/in'), '--speed', 'max'])
  t.equal(first.code, 1)
  t.match(first.out, 'FAILED: call')
  t.match(first.out, /refused {3}read failed/)
  t.match(first.out, 'note: conference: this verb is not simulated')
  t.match(first.out, /\nerror: the audio socket was refused: read failed/)
  t.match(first.out, ', 1 listen, 0 audio messages,')
  t.equal(
    first.out.match(/read failed/g)?.length,
    2,
    'a failure is printed when it happens, and in the summary'
  )
  const nobody = await run(['http://127.0.0.1:1/in', '--json'])
  t.equal(nobody.code, 1)
  t.match((JSON.parse(nobody.out) as { errors: string[] }).errors, [/ECONNREFUSED/])
  const posted = refused.posted.length
  const unwritable = await run([refused.url('/in'), '--save-heard', '/nowhere/x.wav', '--speed', 'max'])
  t.match(unwritable, { code: 1, err: /--save-heard: ENOENT.*\/nowhere\/x\.wav/ })
  t.equal(refused.posted.length, posted, "no call is made if its audio can't be written")
})

t.test('an interrupt (Ctrl+C) hangs up the call', async (t) => {
  const app = await application(t, { '/in': [{ verb: 'pause', length: 60 }] })
  const interrupt = new AbortController()
  const running = run([app.url('/in')], { interrupt: interrupt.signal })
  while (app.posted.length === 0) await new Promise((resolve) => setImmediate(resolve))
  interrupt.abort()
  t.match((await running).out, 'hung up   by the caller')
})

t.test(
  'a load test makes many calls, all at once or at a rate, and reports latencies and failures',
  async (t) => {
    const app = await application(
      t,
      {
        '/in': [{ verb: 'listen', url: '/audio', actionHook: '/done', finishOnKey: '#' }],
        '/done': [{ verb: 'hangup' }],
        '/bad': { status: 500 }
      },
      () => {}
    )
    const plain = await run([
      app.url('/in'),
      '--calls',
      '20',
      '--rate',
      '200/s',
      '--speed',
      'max',
      '--press',
      '#@1s'
    ])
    t.equal(plain.code, 0)
    // A slow run prints a line of progress first, so the result is not always the first line.
    t.match(plain.out, /^ok: 20 calls in \d/m)
    t.match(plain.out, '20 listens (0 refused)')
    for (const name of ['webhook', 'hook', 'first audio']) {
      t.match(plain.out, new RegExp(`${name} +20 +p50 +\\d+\\.\\d ms +p99 +\\d+\\.\\d ms`))
    }
    const json = await run([app.url('/in'), '--calls', '3', '--json', '--speed', 'max', '--press', '#'])
    t.match(JSON.parse(json.out), {
      calls: 3,
      failed: 0,
      frames: 154 * 3,
      bytes: 154 * 3 * 320,
      latencies: { webhook: { count: 3 } }
    })
    const failing = await run([app.url('/bad'), '--calls', '3', '--speed', 'max'], { tty: true })
    t.equal(failing.code, 1)
    t.match(failing.out, 'FAILED: 3 calls')
    t.match(failing.out, /error: 3 x webhook POST \/bad was answered with 500/)
    t.notMatch(failing.out, 'answered 500', 'a failure is counted once')
    const refused = await application(t, { '/in': [{ verb: 'listen', url: '/audio' }, { verb: 'hangup' }] })
    t.match(
      (await run([refused.url('/in'), '--calls', '2', '--speed', 'max', '--say', 'hi'])).out,
      '2 listens (2 refused)'
    )
    const stopped = await run([app.url('/in'), '--calls', '3'], { interrupt: AbortSignal.abort() })
    t.match(stopped.out, /^ok: 0 calls/)
    const interrupt = new AbortController()
    const posted = app.posted.length
    const stopping = run([app.url('/in'), '--calls', '9', '--rate', '0.01/s'], {
      interrupt: interrupt.signal
    })
    await until(() => app.posted.length > posted, 'the first webhook')
    interrupt.abort()
    t.match(
      (await stopping).out,
      /^ok: 1 call in /m,
      'an interrupted caller hangs up, and no further call begins'
    )
  }
)

t.test('every option of the command reaches the call', async (t) => {
  const app = await application(t, {
    '/in': [{ verb: 'gather', input: ['speech', 'digits'], numDigits: 1, actionHook: '/said' }],
    '/said': [{ verb: 'hangup' }]
  })
  const { code } = await run([
    app.url('/in'),
    '--speed',
    'max',
    '--silent',
    '--from',
    '1',
    '--to',
    '2',
    '--caller-name',
    'Ann',
    '--secret',
    's',
    '--auth',
    'user:pass:word',
    '--env',
    'A=b=c',
    '--env',
    'D=',
    '--transcript',
    'hello there',
    '--account-sid',
    'acc',
    '--application-sid',
    'app',
    '--hang-up-after',
    '1m',
    '--patience',
    '5',
    '--timeout',
    '10s',
    '--fault',
    'duplicate-webhook',
    '--fault',
    'stall=1s+500ms'
  ])
  t.equal(code, 0)
  t.equal(app.at('/in').length, 2)
  t.match(app.at('/in')[0]!.json, {
    from: '1',
    to: '2',
    caller_name: 'Ann',
    account_sid: 'acc',
    application_sid: 'app',
    env_vars: { A: 'b=c', D: '' }
  })
  t.equal(
    app.at('/in')[0]!.headers.authorization,
    `Basic ${Buffer.from('user:pass:word').toString('base64')}`
  )
  t.match(app.at('/said')[0]!.json, { speech: { alternatives: [{ transcript: 'hello there' }] } })
  const other = await run([
    app.url('/in'),
    '--speed',
    'max',
    '--insecure',
    '--fault',
    'metadata=quote',
    '--get',
    '--outbound',
    '--transcript',
    'late@500ms'
  ])
  t.equal(other.code, 0)
  t.equal(app.at('/in').at(-1)!.method, 'GET')
})

t.test('every event that the tests above do not cause is printed', async (t) => {
  const request: RequestRecord = {
    kind: 'hook',
    transport: 'http',
    method: 'POST',
    url: '/x',
    headers: {},
    payload: undefined,
    status: undefined,
    reply: [{ say: {} }, {}],
    atMs: 0,
    latencyMs: 1,
    attempt: 2
  }
  const listen = {
    closeCode: 4000,
    closedBy: 'server',
    sent: { frames: 1, bytes: 64_000 },
    mixType: 'stereo',
    sampleRate: 16_000,
    overrun: true
  } as ListenRecord
  const lines = (
    [
      { name: 'hook', payload: request },
      { name: 'hook', payload: { ...request, error: 'gone', reply: [] } },
      { name: 'listen:close', payload: listen },
      { name: 'message', payload: { listen, message: 'no json' } },
      { name: 'mark', payload: { listen, name: 'm', event: 'playout' } },
      {
        name: 'playDone',
        payload: {
          listen,
          data: { playbackSeconds: '0', playbackMilliseconds: '20', playbackLastOffsetPos: '160' }
        }
      },
      {
        name: 'verb',
        payload: {
          verb: 'redirect',
          data: { actionHook: { url: '/x' } },
          startedAtMs: 0,
          endedAtMs: undefined
        }
      },
      {
        name: 'verb',
        payload: { verb: 'say', data: { text: 'x'.repeat(200) }, startedAtMs: 0, endedAtMs: undefined }
      }
    ] as const
  ).map((event) => storyLine({ ...event, atMs: 0 } as SimulatorEvent)![1])
  t.match(lines, [
    /no answer in 1 ms \(attempt 2\): say, \?$/,
    /gone .*: no verbs$/,
    /4000 by the server after 1 message, 64000 bytes, 1\.00 s of audio, with an overrun/,
    'no json',
    'm playout',
    'sound: 20 ms',
    'redirect {"url":"/x"}',
    /^say x{96}…$/
  ])
  const narrow = new Screen(true)
  for (const columns of [undefined, 0]) {
    Object.assign(narrow, { columns, text: '' })
    const terminal = new Terminal(narrow)
    terminal.showStatus(() => 'x'.repeat(200))
    terminal.hideStatus()
    t.equal(narrow.text.match(/x+/)![0].length, 79)
  }
})

t.test('wrong usage is reported with exit code 2', async (t) => {
  const wav = join(t.testdir({ 'no.wav': 'no' }), 'no.wav')
  const url = 'http://127.0.0.1:1/in'
  const cases: Array<[string[], RegExp]> = [
    [[], /one url is needed, got 0/],
    [[url, url], /got 2/],
    [[url, '--what'], /Unknown option '--what'/],
    [[url, '--speed', 'quick'], /--speed: 'quick'/],
    [[url, '--audio', 'a', '--say', 'b'], /exclude each other/],
    [[url, '--rate', '5'], /--rate needs --calls/],
    [[url, '--calls', '0'], /--calls: '0'/],
    [[url, '--calls', '1.5'], /whole number/],
    [[url, '--calls', '2', '--save-heard', 'x'], /--save-heard is for one call/],
    [[url, '--auth', 'user'], /--auth: 'user' must read like/],
    [[url, '--env', 'A'], /--env/],
    [[url, '--hang-up-after', 'soon'], /--hang-up-after: 'soon' is not a time/],
    [[url, '--press', 'x'], /press 'x'/],
    [[url, '--fault', 'fire'], /--fault 'fire' is unknown/],
    [[url, '--fault', 'metadata=x'], /apostrophe, quote or cut/],
    [[url, '--fault', 'no-metadata=1'], /takes no value/],
    [[url, '--fault', 'stall=1s'], /stall/],
    [['/in'], /must be an absolute/],
    [[':3000/in'], /must be an absolute/],
    [[url, '--sped', '1'], /Unknown option '--sped': did you mean --speed\?/],
    [[url, '--hangup-after', '1s'], /did you mean --hang-up-after\?/],
    [[url, '--speed', '-1'], /--speed: '-1' must be a number above 0/],
    [[url, '--calls', '2', '--call-sid', 'x'], /each call needs a callSid of its own/],
    [[url, '--say', 'hello', 'world'], /got 2: \S+, world; put a text with spaces in quotes/],
    [[url, '--audio', wav], new RegExp(`${wav} is not a WAV file`)],
    [[url, '--audio', '/nowhere.wav'], /can't be read/]
  ]
  for (const [argv, message] of cases) {
    const { code, err } = await run(argv)
    t.equal(code, 2, argv.join(' '))
    t.match(err, message)
    t.match(err, '--help')
  }
  const help = await run(['--help'])
  t.strictSame([help.code, help.err], [0, ''])
  t.match(help.out, /^Usage: jambonz-simulate <url>/)
  t.equal((await run(['-h'])).out, help.out)
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  t.strictSame(await run(['--version']), { code: 0, out: `${version}\n`, err: '' })
})

t.test(
  '--say uses a speech synthesiser if one is installed, and otherwise a signal of the same length',
  async (t) => {
    const dir = t.testdir()
    const program = join(dir, 'speaker')
    writeFileSync(join(dir, 'voice.wav'), wavOf(ramp(100), 22_050))
    writeFileSync(program, `#!/bin/sh\nexec cat '${join(dir, 'voice.wav')}'\n`, { mode: 0o755 })
    const real = await synthesise('hello', program)
    t.ok(real.real)
    t.equal(parseWav(real.speech as Buffer).sampleRate, 22_050)
    const installed = await synthesise('Please call me back.')
    t.ok(
      !installed.real || parseWav(installed.speech as Buffer).samples.length > 10_000,
      'espeak-ng speaks, if it is installed'
    )
    const missing = await synthesise('x'.repeat(30), join(dir, 'missing'))
    t.notOk(missing.real)
    t.strictSame(missing.speech, { pcm: speechLike(2, 8_000).samples, sampleRate: 8_000 })
    const app = await application(
      t,
      { '/in': [{ verb: 'listen', url: '/audio', finishOnKey: '#' }] },
      () => {}
    )
    const { PATH } = process.env
    process.env.PATH = dir
    t.teardown(() => {
      process.env.PATH = PATH
    })
    const { code, err } = await run([app.url('/in'), '--say', 'Hello', '--press', '#', '--speed', 'max'])
    t.equal(code, 0)
    t.match(err, 'espeak-ng is not installed')
  }
)

t.test(
  'if the application is broken, the command fails, and prints what jambonz does and what to change',
  async (t) => {
    const verbs = [
      { verb: 'listen', url: '/audio', actionHook: '/done', bidirectionalAudio: { streaming: true } }
    ]
    const app = await application(
      t,
      { '/in': verbs, '/done': { status: 401, body: 'check webhookSecret' } },
      (socket) =>
        socket.once('message', () => {
          socket.send(JSON.stringify({ type: 'medium' }))
          socket.send(Buffer.alloc(16_000, 1))
          socket.terminate()
        })
    )
    const { code, out } = await run([app.url('/in'), '--speed', 'max', '--silent'])
    t.equal(code, 1)
    for (const part of [
      /open +\S+\/audio mono 8000 Hz, audio\.jambonz\.org\n/,
      /hook +POST \S+\/done -> 401 in .* ms: check webhookSecret/,
      /FAILED: call/,
      /error: bidirectionalAudio\.streaming is set without sampleRate \(\S+\)\n {2}jambonz: .*drops binary frames.*\n {2}change: {2}set bidirectionalAudio\.sampleRate/,
      /error: the server streamed 16000 bytes to a listen that does not stream/,
      /error: the server ended the connection without a close frame \(1006\)/,
      /warning: the server sent a message of the unknown type 'medium'/,
      /error: hook POST \/done was answered with 401: check webhookSecret/
    ]) {
      t.match(out, part)
    }
    const json = JSON.parse((await run([app.url('/in'), '--speed', 'max', '--silent', '--json'])).out)
    t.ok(json.problems.length >= 4)
    const load = await run([app.url('/in'), '--speed', 'max', '--silent', '--calls', '2'])
    t.equal(load.code, 1)
    t.match(load.out, 'error: 2 x the server ended the connection without a close frame')
  }
)

t.test('warnings alone do not fail the command', async (t) => {
  const app = await application(t, { '/in': [{ verb: 'listen', url: '/audio' }] }, (socket) =>
    socket.once('message', () => socket.send('{"type":"medium"}'))
  )
  const { code, out } = await run([app.url('/in'), '--speed', 'max', '--silent'])
  t.equal(code, 0)
  t.match(out, /^ok: call [^]*warning: the server sent a message of the unknown type/m)
})

t.test(
  'options set what the called party of a dial says, and when this party answers and hangs up',
  async (t) => {
    const app = await application(t, {
      '/in': [{ verb: 'dial', target: [{ type: 'phone', number: '1' }], actionHook: '/done', timeout: 5 }],
      '/done': []
    })
    const directory = t.testdir({ 'called.wav': wavOf(ramp(8_000, 9_000), 8_000) })
    const [wav, heard] = [join(directory, 'called.wav'), join(directory, 'heard.wav')]
    const dial = async (...options: string[]) => {
      const { code, out } = await run([app.url('/in'), '--speed', 'max', '--silent', '--json', ...options])
      return { code, story: JSON.parse(out), status: app.at('/done').at(-1)!.json.dial_call_status }
    }
    const spoken = await dial('--called-audio', wav, '--called-hang-up-after', '4s', '--save-heard', heard)
    t.match(spoken.story.legs, [{ status: 'completed', durationMs: 4_000 }])
    t.ok(readFileSync(heard).includes(ramp(8_000, 9_000)))
    const late = await dial('--called-silent', '--called-answer-after', '3s')
    t.ok(late.story.legs[0].durationMs < 1_500, 'a silent called party hangs up after a second')
    t.equal((await dial('--called-refuses', '486')).status, 'busy')
    t.equal((await dial('--called-absent')).status, 'no-answer')
    for (const wrong of [
      ['--called-refuses', '200'],
      ['--called-audio', 'missing.wav'],
      ['--called-audio', wav, '--called-silent'],
      ['--called-absent', '--called-refuses', '486'],
      ['--platform', '10']
    ]) {
      t.equal((await run([app.url('/in'), ...wrong])).code, 2, wrong.join(' '))
    }
  }
)
