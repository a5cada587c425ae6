import t from 'tap'
import { OptionsSchema } from '../lib/index.js'
import { resolveOptions, type JambonzListenOptions } from '../lib/options.js'
import { RecordingOptionsSchema, resolveRecordingOptions } from '../lib/recording/options.js'
import { memoryStore } from '../lib/store/memory.js'

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
