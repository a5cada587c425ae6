import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import t from 'tap'
import Fastify from 'fastify'
import jambonzListen from '../lib/index.js'
import liveMonitor from '../lib/monitor/index.js'
import { build, listening } from './helpers/build.js'
import { askForListen } from './helpers/listen.js'
import { certificate } from './simulator/certificate.js'
import { keepingLogger } from './helpers/log.js'
import { until } from './helpers/until.js'
import { statusOf } from './helpers/socket.js'

t.test('every package that the published types import is in dependencies', async (t) => {
  const { dependencies, peerDependencies } = JSON.parse(await readFile('package.json', 'utf8')) as Record<
    'dependencies' | 'peerDependencies',
    Record<string, string>
  >
  const brought = { ...dependencies, ...peerDependencies }
  const files = (
    await Promise.all(
      ['lib', 'routes'].map(async (folder) =>
        (await readdir(folder, { recursive: true })).map((file) => join(folder, file))
      )
    )
  ).flat()
  const imported = new Set<string>()
  // Skips the file with jambonz' schemas, because the regular expression would take some descriptions for
  // imports.
  for (const file of files.filter((name) => name.endsWith('.ts') && !name.endsWith('publishedSchemas.ts'))) {
    for (const [, name] of (await readFile(file, 'utf8')).matchAll(
      / from '(?!node:)((?:@[\w-]+\/)?[\w-]+)[^']*'/g
    )) {
      imported.add(name!)
    }
  }
  t.ok(imported.has('fastify') && imported.has('ws'))
  for (const name of imported) {
    t.ok(name in brought, name)
    const { types, typings } = JSON.parse(
      await readFile(join('node_modules', name, 'package.json'), 'utf8')
    ) as Record<string, unknown>
    if (types === undefined && typings === undefined) {
      t.ok(`@types/${name}` in brought, `the types of ${name}`)
    }
  }
})

t.test(
  'an upgrade that the host refuses before the plugin sees the request leaves no socket behind',
  async (t) => {
    const app = Fastify()
    app.addHook('onRequest', async (request, reply) => {
      if (request.headers['x-api-key'] === undefined) return reply.code(401).send({})
    })
    await app.register(jambonzListen)
    app.jambonz.audio('/live', () => {})
    const base = await listening(app)
    t.equal(await statusOf(`${base}/live/x`), 401, 'by a hook of the host')
    const socket = net.connect(Number(new URL(base).port))
    socket.write('GET /live/%zz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
    t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 400/, 'by the router')
    await Promise.all([once(socket, 'close'), app.close()])
  }
)

t.test('close() waits for recordings that take longer than the pluginTimeout of Fastify', async (t) => {
  const pluginTimeout = 3_000
  const slow = () =>
    new Writable({
      write: (_chunk, _encoding, callback) => callback(),
      final: (callback) => setTimeout(callback, pluginTimeout + 500)
    })
  const app = await build(t, { recording: { sink: slow }, fastify: { pluginTimeout } })
  app.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
  const saved: string[] = []
  app.jambonz.calls.events.on('recording', (_recording, { callSid }) => saved.push(callSid))
  const listen = await askForListen(app, '/in')
  const socket = await listen.open()
  socket.send(listen.metadata())
  socket.send(Buffer.alloc(320))
  // Plays the part of jambonz, which closes the socket when it gets a disconnect.
  socket.on('message', () => socket.close())
  await until(() => app.jambonz.streams.get(listen.id)?.counts.frames === 1, 'the audio')
  await app.close()
  t.strictSame(saved, [listen.callSid])
})

t.test('the plugin list and the spans of @fastify/otel name the scopes of the plugin', async (t) => {
  const app = await build(t)
  await app.register(liveMonitor, { prefix: '/monitor' })
  app.jambonz.webhook('/in', async () => [])
  app.jambonz.actionHook('/done', async () => [])
  app.jambonz.statusHook('/status')
  app.jambonz.audio('/agent', async () => {})
  await app.ready()
  const plugins = app.printPlugins()
  for (const name of ['jambonzHook', 'jambonzAudio', 'jambonzApplicationSocket', 'jambonzBuiltIn']) {
    t.match(plugins, name)
  }
  // Fastify shows the code of a function without a name.
  t.notMatch(plugins, '=>')
})

t.test('each scope has one fastify.jambonz object of its own', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(jambonzListen)
  t.equal(app.jambonz, app.jambonz)
  await app.register(async (scope) => {
    t.equal(scope.jambonz, scope.jambonz)
    t.not(scope.jambonz, app.jambonz)
  })
})

t.test('a second registration works in another scope, and is an error in the same scope', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(jambonzListen)
  const outer = app.jambonz
  await app.register(
    async (scope) => {
      t.equal(scope.jambonz.instance, outer.instance)
      await scope.register(jambonzListen)
      t.not(scope.jambonz.instance, outer.instance)
      await scope.register(async (inner) => {
        t.equal(inner.jambonz.instance, scope.jambonz.instance)
      })
    },
    { prefix: '/inner' }
  )
  t.equal(app.jambonz, outer)

  const twice = Fastify()
  const registered = async () => {
    await twice.register(
      async (scope) => {
        await scope.register(jambonzListen)
        await scope.register(jambonzListen, { prefix: '/other' })
      },
      { prefix: '/v1' }
    )
  }
  await t.rejects(registered(), {
    code: 'FST_JAMBONZ_REGISTERED',
    message: /already in this scope \(\/v1\): register it once/
  })
})

t.test('the package exports what README names, and nothing else', async (t) => {
  const readme = await readFile('README.md', 'utf8')
  const [, section = ''] = /## Exports\n([^]*?)\n## /.exec(readme) ?? []
  const source = await readFile('lib/index.ts', 'utf8')
  t.notMatch(source, 'export *')
  const exported = [...source.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, names = '']) =>
    names.split(',').map((name) => name.replace(/type |\w+ as /g, '').trim())
  )
  t.ok(exported.length > 30)
  for (const name of exported) t.match(section, new RegExp(`\`${name}[\`(]`), name)
})

t.test('the error about a wrong option names the option, its value and the allowed values', async (t) => {
  const rows: Array<[options: object, message: RegExp]> = [
    [{ platform: '10' }, /platform: one of 0\.9, 11, not "10"/],
    [{ validation: 'lax' }, /validation: one of strict, warn, not "lax"/],
    [
      { recording: { directory: '/tmp/x', format: 'ogg' } },
      /recording\.format: one of wav, flac, opus, mp3, not "ogg"/
    ],
    [
      { webhookSecret: '' },
      /webhookSecret: one of a string that is not empty, an array, not an empty string/
    ],
    [{ callTtl: 2 ** 31 }, /callTtl: .*2147483647, not 2147483648/],
    [{ platform: 11 }, /platform: one of "0\.9", "11", not 11/],
    [{ callTtl: '1h' }, /callTtl: a number from 100 to 2147483647, not "1h"/],
    [{ callTtl: NaN }, /callTtl: a number from 100 to 2147483647, not NaN/],
    [{ signatureTolerance: 0 }, /signatureTolerance: a number from 1 to 86400, not 0/],
    [{ secret: 'short' }, /secret: a string of 16 characters or more, not a string of 5/],
    [{ webhooksecret: 'x' }, /webhooksecret: there is no such option: did you mean "webhookSecret"\?/],
    [{ limits: { maxstreams: 1 } }, /limits\.maxstreams: .*did you mean "maxStreams"\?/],
    [{ limits: { maxStreams: 1.5 } }, /limits\.maxStreams: a whole number of 1 or more, not 1\.5/],
    [
      { auth: { user: 'a', password: 'b' } },
      /auth\.user: there is no such option: use one of username, password/
    ],
    [{ auth: { username: 'a' } }, /auth\.password: is missing: it has to be a string/],
    [{ audioPath: 'audio' }, /audioPath: a path that begins with \/.*, not "audio"/],
    [{ publicUrl: 'example.com' }, /publicUrl: a url without a query.*, not "example\.com"/],
    [{ strict: 'yes' }, /strict: true or false, not "yes"/],
    [{ recording: true }, /recording: an object, not true/],
    [
      { recording: { directory: '/tmp/x', filename: 'x' } },
      /recording\.filename: .*did you mean "fileName"\?/
    ],
    [{ recording: { directory: '/tmp/x', fileName: 'x' } }, /recording\.fileName: a function, not "x"/],
    [{ recording: { directory: '/tmp/x', retention: { maxAge: 0 } } }, /maxAge: a number above 0, not 0/],
    [{ callTtl: Infinity }, /callTtl: /],
    [{ limits: { heartbeat: 1e12 } }, /limits\.heartbeat: .*2147483647/],
    [{ limits: { metadataTimeout: 2 ** 31 } }, /limits\.metadataTimeout: /],
    [{ recording: { directory: '/tmp/x', writeTimeout: 2 ** 31 } }, /recording\.writeTimeout: /],
    [{ api: { baseUrl: 'https://x', accountSid: 'a', token: 't', timeout: 2 ** 31 } }, /api\.timeout: /],
    // heartbeats in seconds instead of ms, or too short
    [{ limits: { heartbeat: 30 } }, /limits\.heartbeat: one of 0, a number from 100 to 2147483647, not 30/],
    ...[0, -1, NaN, 1e-9, 5, 5n, '5'].flatMap((wrong): Array<[object, RegExp]> => [
      [{ callTtl: wrong }, /callTtl: /],
      [{ limits: { metadataTimeout: wrong } }, /limits\.metadataTimeout: /],
      [{ limits: { socketIdle: wrong } }, /limits\.socketIdle: /],
      ...(wrong === 0 ? [] : [[{ limits: { heartbeat: wrong } }, /limits\.heartbeat: /] as [object, RegExp]]),
      [{ recording: { directory: '/tmp/x', writeTimeout: wrong } }, /recording\.writeTimeout: /],
      [{ recording: { directory: '/tmp/x', retention: { interval: wrong } } }, /retention\.interval: /],
      [{ api: { baseUrl: 'https://x', accountSid: 'a', token: 't', timeout: wrong } }, /api\.timeout: /]
    ]),
    ...[0, 1e-9, 1e300, NaN].map((wrong): [object, RegExp] => [
      { signatureTolerance: wrong },
      /signatureTolerance: /
    ])
  ]
  for (const [options, message] of rows) {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(async () => await app.register(jambonzListen, options as never), {
      code: 'FST_JAMBONZ_OPTIONS',
      message
    })
  }
})

t.test('webhookSecret: undefined is an error, but a missing webhookSecret is not', async (t) => {
  for (const [options, told] of [
    [{ webhookSecret: undefined }, 1],
    [{}, 0]
  ] as const) {
    const { logger, lines } = keepingLogger()
    const app = Fastify({ loggerInstance: logger })
    t.teardown(() => app.close())
    await app.register(jambonzListen, options)
    t.equal(lines.filter(({ msg }) => msg.includes('webhookSecret is undefined')).length, told)
  }
})

t.test('a server that speaks HTTP/2 only is warned of, since jambonz speaks HTTP/1.1', async (t) => {
  for (const [options, told] of [
    [{ http2: true }, 1],
    [{ http2: true, https: certificate }, 1],
    [{ http2: true, https: { ...certificate, allowHTTP1: true } }, 0]
  ] as const) {
    const { logger, said } = keepingLogger()
    const app = Fastify({ ...(options as object), loggerInstance: logger })
    t.teardown(() => app.close())
    await app.register(jambonzListen)
    t.equal(said('HTTP/2 only').length, told)
  }
})

t.test('drain() waits for its whole timeout, even if setTimeout() could not wait that long', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(jambonzListen)
  app.jambonz.webhook('/call', async () => [{ verb: 'listen' }])
  const listen = await askForListen(app, '/call')
  const socket = await listen.open()
  socket.send(listen.metadata())
  await until(() => app.jambonz.metrics().includes('jambonz_streams_live 1'), 'the stream')
  let drained = false
  const draining = app.jambonz.drain(Infinity).then(() => {
    drained = true
  })
  await once(app.server, 'connection', { signal: AbortSignal.timeout(50) }).catch(() => {})
  t.equal(drained, false)
  socket.close()
  await draining
})
