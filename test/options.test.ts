import { Redis } from 'ioredis'
import Fastify from 'fastify'
import t from 'tap'
import jambonzListen, { OptionsSchema } from '../lib/index.js'
import liveMonitor from '../lib/monitor/index.js'
import { resolveOptions, type JambonzListenOptions } from '../lib/options.js'
import { RecordingOptionsSchema, resolveRecordingOptions } from '../lib/recording/options.js'
import { s3Sink, type S3SinkOptions } from '../lib/recording/s3.js'
import { memoryStore } from '../lib/store/memory.js'
import { redisStore, type RedisStoreOptions } from '../lib/store/redis.js'
import { build } from './helpers/build.js'

t.test('an option that is missing or undefined has the default of its schema', async (t) => {
  const { properties } = OptionsSchema
  const none = resolveOptions({} as JambonzListenOptions)
  const undefineds = resolveOptions(
    Object.fromEntries(Object.keys(properties).map((name) => [name, undefined])) as never
  )
  for (const resolved of [none, undefineds]) {
    for (const name of ['audioPath', 'callTtl', 'platform', 'validation', 'strict', 'prefix'] as const) {
      t.equal(resolved[name], properties[name].default, name)
    }
    for (const [name, { default: value }] of Object.entries(properties.limits.properties)) {
      t.equal(resolved.limits[name as keyof typeof resolved.limits], value, `limits.${name}`)
    }
  }
  const recording = resolveRecordingOptions({ directory: '/tmp/x', retention: { maxAge: 5 } })
  const { format, writeTimeout, maxBuffered } = RecordingOptionsSchema.properties
  t.match(recording, {
    format: format.default,
    writeTimeout: writeTimeout.default,
    maxBuffered: maxBuffered.default,
    retention: { maxAge: 5, maxBytes: Infinity, interval: 600_000 }
  })
})

t.test('resolved options are frozen, and the given options are not changed', async (t) => {
  const given = { limits: { heartbeat: 0 }, store: memoryStore() }
  const copy = structuredClone({ limits: given.limits })
  const resolved = resolveOptions(given as never)
  t.ok(Object.isFrozen(resolved))
  t.ok(Object.isFrozen(resolved.limits))
  t.equal(resolved.limits.heartbeat, 0)
  t.equal(resolved.store, given.store, 'the store is the same object')
  t.same({ limits: given.limits }, copy)
})

t.test('the description of an option does not repeat its default', async (t) => {
  const schemas = [
    OptionsSchema.properties,
    OptionsSchema.properties.limits.properties,
    RecordingOptionsSchema.properties
  ]
  for (const properties of schemas) {
    for (const [name, { description = '' }] of Object.entries(properties)) {
      t.notMatch(description, /\bdefault/i, name)
    }
  }
})

t.test('stores and the S3 sink refuse an unknown or wrong option, and name it', async (t) => {
  const client = new Redis({ lazyConnect: true })
  const code = 'FST_JAMBONZ_OPTIONS'
  const ofMemory: Array<[unknown, RegExp]> = [
    [{ max: 3 }, /options of memoryStore\(\)\.max: there is no such option: use maxCalls/],
    [{ maxcalls: 3 }, /did you mean "maxCalls"/],
    [{ maxCalls: 1.5 }, /maxCalls: one of a whole number of 1 or more, Infinity, not 1\.5/],
    [{ maxCalls: '3' }, /not "3"/],
    [3, /an object, not 3/],
    [null, /an object, not null/]
  ]
  for (const [options, message] of ofMemory) {
    t.throws(() => memoryStore(options as object), { code, message })
  }
  memoryStore({ maxCalls: Infinity })
  memoryStore({ maxCalls: undefined as unknown as number })

  const ofRedis: Array<[unknown, RegExp]> = [
    [{ keyPrefix: 'x' }, /redisStore: keyPrefix: there is no such option: use one of prefix, timeout/],
    [{ Timeout: 100 }, /did you mean "timeout"/],
    [{ prefix: 3 }, /prefix: a string, not 3/],
    [{ maxLocalCalls: 1.5 }, /maxLocalCalls: a whole number, not 1\.5/],
    [{ timeout: '500' }, /timeout must be a number .*, not "500"/],
    [null, /options: an object, not null/]
  ]
  for (const [options, message] of ofRedis) {
    t.throws(() => redisStore(client, options as RedisStoreOptions), {
      code: 'FST_JAMBONZ_REDIS_STORE',
      message
    })
  }

  const sink = { client: {}, bucket: 'calls' }
  const ofSink: Array<[unknown, RegExp]> = [
    [
      { ...sink, Bucket: 'x' },
      /options of s3Sink\(\)\.Bucket: there is no such option: did you mean "bucket"/
    ],
    [{ client: {} }, /\.bucket: is missing/],
    [{ bucket: 'calls' }, /\.client: is missing: .*S3Client/],
    [{ ...sink, partSize: '6000000' }, /\.partSize: .*, not "6000000"/],
    [{ ...sink, requestTimeout: 1 }, /\.requestTimeout: a number from 50/],
    [{ ...sink, key: 'x' }, /\.key: a function/],
    [undefined, /options of s3Sink\(\): /]
  ]
  for (const [options, message] of ofSink) {
    t.throws(() => s3Sink(options as S3SinkOptions), { code, message })
  }
})

t.test('the monitor, calls and drain() refuse wrong arguments instead of ignoring them', async (t) => {
  const app = await build(t)
  const code = 'FST_JAMBONZ_OPTIONS'
  const { jambonz } = app
  const hangup = [{ verb: 'hangup' }] as const
  type Loose = (...given: unknown[]) => Promise<unknown>
  const call = (name: 'redirect' | 'command' | 'mute' | 'say') =>
    jambonz.calls[name].bind(jambonz.calls) as Loose
  const drain = jambonz.drain.bind(jambonz) as Loose
  const rows: Array<[Promise<unknown>, RegExp]> = [
    [call('redirect')('c', hangup, { queued: true }), /redirect\(\)\.queued: .*did you mean "queue"/],
    [call('redirect')('c', hangup, { queue: 'no' }), /redirect\(\)\.queue: true or false, not "no"/],
    [
      call('command')('c', 'x', {}, { toolCallID: 'x', id: 1 }),
      /command\(\)\.(toolCallID|id): there is no such/
    ],
    [call('mute')('c'), /mute\(\): muted must be true or false, not undefined/],
    [call('say')('c', { text: 'x' }), /say\(\): the text is no string but object/],
    [
      drain({ handover: true }),
      /drain\(\): timeoutMs is an object.*write drain\(timeoutMs, \{ handover \}\)/
    ],
    [drain('5000'), /timeoutMs is a string/],
    [drain(NaN), /timeoutMs is NaN/],
    [drain(0, { handOver: 1 }), /drain\(\)\.handOver: .*did you mean "handover"/],
    [drain(0, true), /options of drain\(\): an object, not true/]
  ]
  for (const [rejected, message] of rows) await t.rejects(rejected, { code, message })
  t.notOk(jambonz.draining, 'a refused drain() seals nothing')
  await t.rejects(async () => await app.register(liveMonitor, { path: '/desk' } as object), {
    code,
    message: /options of liveMonitor\.path: there is no such option: use one of prefix/
  })
})

t.test('the error about an option says what was given, in words, without markdown', async (t) => {
  class RedisLike {}
  const rows: Array<[options: object, message: RegExp]> = [
    [{ store: memoryStore }, /store: is a function.*: call it, as in store: memoryStore\(\)$/],
    [{ store: RedisLike }, /store: is a function/],
    [{ store: 'redis' }, /store: an object, not "redis" \(the store that/],
    [{ webhookSecret: [] }, /webhookSecret: one of .*, an array that is not empty, not an empty array/],
    [{ webhookSecret: [''] }, /webhookSecret: .*not an array of 1/],
    [
      { recording: true },
      /recording: an object, not true \(how calls are recorded, as in `\{ directory: 'recordings' \}`: see Recording\)/
    ],
    [{ limits: () => {} }, /limits: an object, not a function \(see Limits\)/]
  ]
  for (const [options, message] of rows) {
    const app = Fastify()
    t.teardown(() => app.close())
    const error = await Promise.resolve(app.register(jambonzListen, options as never)).then(
      () => undefined,
      (err: Error) => err
    )
    t.match(error, { code: 'FST_JAMBONZ_OPTIONS', message })
    t.notMatch(error?.message, '](')
  }
})

t.test('options that are no object are refused with the code of the plugin', async (t) => {
  for (const wrong of [null, 3, 'x', []]) {
    t.throws(() => resolveOptions(wrong as never), { code: 'FST_JAMBONZ_OPTIONS' }, String(wrong))
  }
})
