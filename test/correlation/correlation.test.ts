import t, { type Test } from 'tap'
import { Correlation } from '../../lib/correlation/Correlation.js'
import { endUnlessHeld } from '../../lib/correlation/endReasons.js'
import { hookCame } from '../../lib/correlation/hookCame.js'
import { recorded } from '../../lib/correlation/recorded.js'
import { memoryStore, type Listen } from '../../lib/index.js'
import { listenIn } from '../../lib/model/callWrite.js'
import { Hmac, createListenId } from '../../lib/model/tokens.js'
import { HOOK_WAIT, hookPart, watchPart, withSegment } from '../../lib/model/listenLife.js'
import type { FinishedRecording } from '../../lib/model/recording.js'
import { LISTEN_METADATA_KEY } from '../../lib/verbs/index.js'
import { hurry } from '../helpers/hurry.js'
import { keepingLogger } from '../helpers/log.js'
import { until } from '../helpers/until.js'

const CALL = 'c1'

async function start(t: Test, expected: Partial<Listen> = {}) {
  const secret = new Hmac('a secret of these tests')
  const { logger, said } = keepingLogger()
  const correlation = new Correlation({
    store: memoryStore(),
    secret,
    instance: 'a',
    logger,
    auth: undefined,
    readToEnd: () => {},
    handOver: () => {}
  })
  await correlation.start(60_000)
  t.teardown(() => correlation.store.close())
  const ended: Listen[] = []
  correlation.events.on('listenEnded', (listen) => ended.push(listen))
  const id = createListenId(secret, CALL, 'seed')
  const asked = {
    id,
    callSid: CALL,
    path: '/audio',
    mixType: 'mono',
    sampleRate: 8000,
    channels: 1,
    ...expected
  } as const
  await correlation.answered(CALL, [asked], undefined)
  const claimed = await correlation.claimed({ listenId: id, unknown: false, paused: false, issuer: 'xyz' })
  if (claimed.outcome !== 'claimed') throw new Error(claimed.outcome)
  return { correlation, id, ended, listen: claimed.listen, said }
}

const payload = { callSid: CALL, fields: { callStatus: 'in-progress' } }

// These tests spend most of their time waiting, so they run side by side.
t.jobs = 4

t.test('a listen whose socket opens after the end of its call ends once', async (t) => {
  const { correlation, id, ended, listen } = await start(t)
  await hookCame(correlation, { listenId: id, call: payload, isOfListen: true })
  t.match(await correlation.streaming(listen, {}), { streams: false })
  await correlation.closed(listen, { endReason: 'closed' })
  t.match(ended, [{ id, endReason: 'notConnected' }])
  t.equal(ended.length, 1)
})

t.test(
  'a hook that reports the whole maxLength sets endReason to maxLength, even if the first audio was lost',
  async (t) => {
    const { correlation, id, listen } = await start(t, { maxLength: 10 })
    await correlation.streaming(listen, {})
    await correlation.closed(listen, { endReason: 'closed' })
    t.match((await correlation.store.get(CALL))?.listens, [{ endReason: 'closed' }])
    const hook = { listenId: id, call: payload, duration: 10, isOfListen: true }
    t.match(await hookCame(correlation, hook), { listen: { endReason: 'maxLength', reportedDuration: 10 } })
    const other = await start(t, { maxLength: 10 })
    await other.correlation.closed(other.listen, { endReason: 'closed' })
    t.match(await hookCame(other.correlation, { ...hook, duration: 9 }), { listen: { endReason: 'closed' } })
  }
)

t.test(
  'listenEnded and the actionHook tell the same endReason, in any order, also after a handover',
  async (t) => {
    const at = new Date().toISOString()
    const counts = { frames: 450, bytes: 144_000, durationMs: 9_000, gapMs: 0, maxGapMs: 0 }
    const first = { endedAt: at, audio: counts }
    for (const [says, handedOver, endReason] of [
      [{ duration: 3, digits: '#' }, false, 'finishOnKey'],
      [{ duration: 10 }, false, 'maxLength'],
      [{ duration: 3 }, false, 'closed'],
      [{ duration: 0, digits: '#' }, true, 'finishOnKey'],
      [{ duration: 1 }, true, 'maxLength'],
      [{ duration: 0 }, true, 'closed']
    ] as const) {
      for (const hookFirst of [true, false]) {
        const { correlation, id, ended, listen } = await start(t, { maxLength: 10, finishOnKey: '#' })
        const { store } = correlation
        let opened = listen
        if (handedOver) {
          await correlation.handedOver(listen, first, {})
          // jambonz may report a second more than the first socket heard.
          await store.write(CALL, [
            hookPart(id, { duration: 10 }, { hookedAt: at, offers: 1, refused: false })
          ])
          const claimed = await correlation.claimed({
            listenId: id,
            unknown: false,
            paused: false,
            issuer: 'x'
          })
          if (claimed.outcome === 'claimed') opened = claimed.listen
        }
        await correlation.streaming(opened, {})
        const close = () =>
          correlation.closed(opened, {
            endReason: 'closed',
            ...(handedOver &&
              withSegment(opened, { startedAt: at, endedAt: at, audio: { ...counts, durationMs: 20 } }))
          })
        const hook = () => hookCame(correlation, { listenId: id, call: payload, isOfListen: true, ...says })
        const came = hookFirst ? hook() : close().then(hook)
        if (hookFirst) {
          await until(
            async () => (await store.get(CALL))?.listens[0]?.reportedDuration === says.duration,
            'the hook'
          )
          await close()
        }
        const what = `${JSON.stringify(says)}, ${handedOver ? 'handed over' : 'one socket'}`
        t.match((await came).listen, { endReason }, `the handler: ${what}`)
        await until(() => ended.length > 0, 'the event')
        t.match(ended, [{ endReason }], `the event: ${what}`)
        t.match((await store.get(CALL))?.listens, [{ endReason }], `the store: ${what}`)
      }
    }
  }
)

t.test('listenEnded does not wait for an actionHook that can tell no other endReason', async (t) => {
  for (const [asked, reason] of [
    [{ finishOnKey: '12' }, 'closed'],
    [{ finishOnKey: '#', nested: 'config' }, 'closed'],
    [{ maxLength: 10 }, 'disconnected'],
    [{}, 'closed']
  ] as const) {
    const { correlation, ended, listen } = await start(t, asked)
    await correlation.streaming(listen, {})
    await correlation.closed(listen, { endReason: reason })
    t.match(ended, [{ endReason: reason }])
  }
})

t.test('on a hang-up, listenEnded comes before callEnded, and does not wait for the hook', async (t) => {
  const { correlation, ended, listen } = await start(t, { maxLength: 10 })
  const order: string[] = []
  correlation.events.on('listenEnded', () => order.push('listenEnded'))
  correlation.events.on('callEnded', () => order.push('callEnded'))
  await correlation.streaming(listen, {})
  await correlation.closed(listen, { endReason: 'closed' })
  t.same(ended, [], 'the hook may tell another reason')
  await correlation.arrived(CALL, { callStatus: 'completed' })
  t.same(order, ['listenEnded', 'callEnded'])
  t.match(ended, [{ endReason: 'closed' }])
})

t.test('a listen whose socket closes after the end of its call does not wait for the hook', async (t) => {
  const { correlation, ended, listen } = await start(t, { maxLength: 10 })
  await correlation.streaming(listen, {})
  await correlation.arrived(CALL, { callStatus: 'completed' })
  await correlation.closed(listen, { endReason: 'closed' })
  t.match(ended, [{ endReason: 'closed' }])
})

t.test('listenEnded is emitted even if the store fails while the hook is awaited', async (t) => {
  const { correlation, ended, listen } = await start(t, { maxLength: 10 })
  await correlation.streaming(listen, {})
  correlation.store.waitFor = async () => await Promise.reject(new Error('away'))
  await correlation.closed(listen, { endReason: 'closed' })
  await until(() => ended.length > 0, 'the event')
  t.match(ended, [{ endReason: 'closed' }])
})

t.test('listenEnded is emitted even if no actionHook comes before the store closes', async (t) => {
  const { correlation, ended, listen } = await start(t, { finishOnKey: '#' })
  await correlation.streaming(listen, {})
  await correlation.closed(listen, { endReason: 'closed' })
  t.same(ended, [])
  await correlation.store.close()
  await until(() => ended.length > 0, 'the event')
  t.match(ended, [{ endReason: 'closed' }])
})

const RECOVERED = {
  location: 'x.wav',
  format: 'wav',
  bytes: 64_364,
  durationMs: 4_020
} as FinishedRecording

t.test('audio that is recovered from the recording of a lost listen is counted once', async (t) => {
  const { correlation, id, listen } = await start(t)
  await correlation.streaming(listen, {})
  await correlation.instanceLost({ callSid: CALL, listenId: id, instance: 'a' })
  for (let i = 0; i < 2; i++) await recorded(correlation.store, listen, RECOVERED)
  t.match((await correlation.store.get(CALL))?.listens, [
    {
      endReason: 'lost',
      audio: { bytes: 64_320, durationMs: 4_020, frames: 201 },
      recording: { location: 'x.wav' }
    }
  ])
})

t.test(
  'audio of a repaired recording is counted even if the repair comes before the listen is declared lost',
  async (t) => {
    const { correlation, id, ended, listen } = await start(t)
    await correlation.streaming(listen, {})
    await recorded(correlation.store, listen, RECOVERED)
    t.match((await correlation.store.get(CALL))?.listens, [{ state: 'streaming', audio: { bytes: 0 } }])
    await correlation.instanceLost({ callSid: CALL, listenId: id, instance: 'a' })
    const audio = { bytes: 64_320, durationMs: 4_020, frames: 201 }
    t.match((await correlation.store.get(CALL))?.listens, [{ endReason: 'lost', audio }])
    t.match(ended, [{ endReason: 'lost', audio }], 'the lost listen is reported')
    await recorded(correlation.store, listen, RECOVERED)
    t.match((await correlation.store.get(CALL))?.listens, [{ audio }], 'once')
  }
)

t.test(
  'if a lost listen had been handed over, the counts grow only by the audio of the last socket',
  async (t) => {
    const counts = { frames: 50, bytes: 16_000, durationMs: 1_000, gapMs: 0, maxGapMs: 0 }
    const at = new Date().toISOString()
    const file = { state: 'saved', bytes: 1, startedAt: at, endedAt: at, gapBeforeMs: 0 } as const
    const recording = {
      location: 'x.wav',
      durationMs: 5_020,
      segments: [
        { ...file, id: 'f1', segment: 1, location: 'x.wav', durationMs: 1_000 },
        { ...file, id: 'f2', segment: 2, location: 'x.2.wav', durationMs: 4_020 }
      ]
    } as unknown as FinishedRecording
    for (const repairedFirst of [false, true]) {
      const { correlation, id, listen } = await start(t)
      const given = await correlation.handedOver(listen, { endedAt: at, audio: counts, recorded: true }, {})
      await correlation.streaming(given?.listen ?? listen, {})
      const lose = () => correlation.instanceLost({ callSid: CALL, listenId: id, instance: 'a' })
      const repair = () => recorded(correlation.store, listen, recording)
      for (const happens of repairedFirst ? [repair, lose] : [lose, repair]) await happens()
      t.match((await correlation.store.get(CALL))?.listens, [
        { endReason: 'lost', audio: { frames: 251, bytes: 80_320, durationMs: 5_020 } }
      ])
    }
  }
)

t.test('a recording that is saved after its listen has ended elsewhere is added to the others', async (t) => {
  const counts = { frames: 50, bytes: 16_000, durationMs: 1_000, gapMs: 0, maxGapMs: 0 }
  const fileOf = (segment: number): FinishedRecording => {
    const at = new Date(1_000 * segment).toISOString()
    const times = { startedAt: at, endedAt: at, gaps: [], pauses: [], sampleRate: 8_000, channels: 1 }
    const location = `${segment}.wav`
    return {
      ...times,
      id: location,
      segment,
      state: 'saved',
      location,
      format: 'wav',
      bytes: 1,
      durationMs: 1
    }
  }
  const { correlation, listen } = await start(t)
  const segment = { endedAt: new Date().toISOString(), audio: counts, recorded: true }
  const given = await correlation.handedOver(listen, segment, {})
  const last = given?.listen ?? listen
  await correlation.streaming(last, {})
  await correlation.closed(last, { endReason: 'closed', recording: fileOf(2), saved: 2 })
  await correlation.saved(last, 1, { recording: fileOf(1) })
  t.match((await correlation.store.get(CALL))?.listens, [
    { saved: 2, recording: { segments: [{ location: '1.wav' }, { location: '2.wav' }] } }
  ])
})

t.test('a listen does not wait for the recording of an instance that has died since', async (t) => {
  const audio = { frames: 50, bytes: 16_000, durationMs: 1_000, gapMs: 0, maxGapMs: 0 }
  for (const [instance, endedAt, isAwaited] of [
    ['gone', Date.now() - 1_000, false],
    ['gone and back', Date.now() + 60_000, true],
    ['alive', Date.now() - 1_000, true]
  ] as const) {
    const { correlation, id, listen } = await start(t)
    const { store } = correlation
    for (const dead of ['gone', 'gone and back']) correlation.dead.add(dead)
    const segment = { instance, endedAt: new Date(endedAt).toISOString(), audio, recorded: true }
    const given = await correlation.handedOver(listen, segment, {})
    if (given === undefined) throw new Error('the listen has ended')
    const inVain: boolean[] = []
    const { waitFor } = hurry(store)
    store.waitFor = async (callSid, listenId, reached, timeoutMs) => {
      const call = await waitFor(callSid, listenId, reached, timeoutMs)
      // Longer waits are for the next socket.
      if (timeoutMs < HOOK_WAIT) inVain.push(!reached(listenIn(call, id)))
      return call
    }
    t.match(await correlation.neverCame(given.listen), { listen: { endReason: 'drained' } })
    t.strictSame(inVain, [isAwaited], instance)
  }
})

t.test('the endReason of a hook is kept if the socket closes after the hook', async (t) => {
  for (const [says, endReason] of [
    [{ digits: '#' }, 'finishOnKey'],
    [{ duration: 10 }, 'maxLength'],
    [{ duration: 9 }, 'closed']
  ] as const) {
    const { correlation, id, ended, listen } = await start(t, { maxLength: 10 })
    await correlation.streaming(listen, {})
    await correlation.store.write(CALL, [hookPart(id, says)])
    t.match(await correlation.closed(listen, { endReason: 'closed' }), { listen: { endReason } })
    t.match((await correlation.store.get(CALL))?.listens, [{ endReason }])
    t.match(ended, [{ endReason }])
  }
})

t.test(
  'the key that ended a listen is stored when the listen ends, unless the key was private',
  async (t) => {
    const hooked = (digits = '#') => ({ call: payload, duration: 3, isOfListen: true, digits })
    for (const [what, paused, kept] of [
      ['in public', false, '#'],
      ['in private', 'silence', undefined],
      ['in private, left out', 'skip', undefined]
    ] as const) {
      const { correlation, id, ended, listen } = await start(t)
      await correlation.streaming(listen, {})
      // The hook arrives before the pause of the recording is written to the store.
      const hook = hookCame(correlation, { listenId: id, ...hooked() })
      await until(async () => (await correlation.store.get(CALL))?.listens[0]?.hookedAt, 'the hook')
      t.notOk(
        (await correlation.store.get(CALL))?.listens[0]?.digits,
        `${what}: no digits before the end of the listen`
      )
      await correlation.paused(listen, paused)
      await correlation.closed(listen, { endReason: 'closed' })
      for (const of of [(await hook).listen, ended[0], (await correlation.store.get(CALL))?.listens[0]]) {
        t.match(of, { state: 'ended', endReason: 'finishOnKey', digits: kept }, what)
      }
    }
    const { correlation, id, listen } = await start(t)
    await correlation.streaming(listen, {})
    const hook = hookCame(correlation, { listenId: id, ...hooked() })
    await correlation.instanceLost({ callSid: CALL, listenId: id, instance: 'a' })
    t.match(
      (await hook).listen,
      { endReason: 'lost', digits: undefined },
      'no digits of a lost listen, because its pauses are not known'
    )
  }
)

t.test('a listen that waits for its next socket ends with its call, in any order of events', async (t) => {
  const isOver = { callSid: CALL, fields: { callStatus: 'completed' } }
  for (const endsFirst of [false, true]) {
    const { correlation, id, ended, listen } = await start(t)
    const application = JSON.stringify([
      { verb: 'listen', actionHook: '/done', metadata: { [LISTEN_METADATA_KEY]: id } }
    ])
    await correlation.answered(CALL, [listen], application)
    await correlation.released(listen)
    await correlation.refused(id)
    if (endsFirst) await correlation.arrived(isOver.callSid, isOver.fields)
    const came = await hookCame(correlation, { listenId: id, call: payload, isOfListen: true })
    t.equal(came.goesOn === undefined, endsFirst)
    if (!endsFirst) await correlation.arrived(isOver.callSid, isOver.fields)
    t.match((await correlation.store.get(CALL))?.listens, [{ state: 'ended', endReason: 'notConnected' }])
    t.match(ended, [{ id, endReason: 'notConnected' }])
    t.equal(ended.length, 1)
  }
})

t.test('a listen that has not begun ends with its call, once, as notConnected', async (t) => {
  const END = { callStatus: 'completed' }
  for (const order of ['released, ended', 'ended, released', 'ended, answered'] as const) {
    const { correlation, id, ended, listen } = await start(t)
    const { store } = correlation
    hurry(store)
    if (order === 'ended, answered') {
      await correlation.arrived('c2', END)
      const late = createListenId(new Hmac('a secret of these tests'), 'c2', 'seed')
      const { path, mixType, sampleRate, channels } = listen
      const asked = { id: late, callSid: 'c2', path, mixType, sampleRate, channels }
      await correlation.answered('c2', [asked], undefined)
      await until(() => ended.length > 0, order)
      t.match(ended, [{ id: late }])
    } else {
      for (const happens of order.split(', ')) {
        await (happens === 'released' ? correlation.released(listen) : correlation.arrived(CALL, END))
      }
      await until(() => ended.length > 0, order)
      t.match(ended, [{ id }])
    }
    const call = await store.get(ended[0]!.callSid)
    t.match(call?.listens, [{ state: 'ended', endReason: 'notConnected', connected: false }], order)
    t.equal(ended[0]?.endedAt, call?.endedAt, 'the listen ended with its call')
    await store.close()
    t.equal(ended.length, 1, order)
  }
})

t.test(
  'a listen without a socket is logged as that of another instance only if jambonz had opened it',
  async (t) => {
    for (const [duration, isElsewhere] of [
      [undefined, false],
      [3, true]
    ] as const) {
      const { correlation, id, listen, said } = await start(t)
      hurry(correlation.store)
      await correlation.released(listen)
      await hookCame(correlation, { listenId: id, call: payload, isOfListen: true, duration })
      t.equal(said('listen ended before its socket came').length, 1)
      t.equal(said('several instances need a shared store').length, isElsewhere ? 1 : 0)
    }
  }
)

t.test('a socket or a hook that the final status of its call has overtaken is not lost', async (t) => {
  for (const duration of [undefined, 3]) {
    const { correlation, id, ended, listen } = await start(t)
    await correlation.released(listen)
    await correlation.arrived(CALL, { callStatus: 'completed' })
    const hook = () => hookCame(correlation, { listenId: id, call: payload, isOfListen: true, duration })
    if (duration === undefined) {
      t.match((await hook()).listen, { state: 'ended', connected: false, endReason: 'notConnected' })
    } else {
      const came = hook()
      const claimed = await correlation.claimed({ listenId: id, unknown: false, paused: false, issuer: 'x' })
      if (claimed.outcome !== 'claimed') throw new Error(claimed.outcome)
      t.match(await correlation.streaming(claimed.listen, {}), { streams: true })
      await correlation.closed(claimed.listen, { endReason: 'closed' })
      t.match((await came).listen, { state: 'ended', connected: true, endReason: 'closed' })
    }
    await correlation.store.close()
    t.equal(ended.length, 1)
  }
})

t.test(
  'a hook that waits for the next socket of a listen notices at once that the socket streams',
  async (t) => {
    const { correlation, id, listen } = await start(t)
    const { store } = correlation
    await correlation.released(listen)
    await store.write(CALL, [hookPart(id, {}, { offers: 1 })])
    const next = await correlation.claimed({ listenId: id, unknown: false, paused: false, issuer: 'xyz' })
    if (next.outcome !== 'claimed') throw new Error(next.outcome)
    const begun = performance.now()
    const came = store.waitFor(CALL, id, (now) => now?.state === 'streaming', 10_000)
    await correlation.streaming(next.listen, {})
    await came
    t.ok(performance.now() - begun < 5_000)
  }
)

t.test(
  'a listen ends if its next socket does not open, unless jambonz is asked again or the plugin closes',
  async (t) => {
    const SOON = 50
    for (const [happens, state] of [
      ['nothing', 'ended'],
      ['a socket comes', 'expected'],
      ['jambonz is asked once more', 'expected'],
      ['the plugin closes', 'expected']
    ] as const) {
      const { correlation, id, ended, listen } = await start(t)
      const { store } = correlation
      await correlation.released(listen)
      const before = (await store.write(CALL, [hookPart(id, {}, { offers: 1 })])).call.listens[0]
      if (before === undefined) throw new Error('the listen is unknown')
      const waits: Array<Promise<unknown>> = []
      const waitFor = store.waitFor.bind(store)
      store.waitFor = (...args) => {
        const wait = waitFor(...args)
        waits.push(wait)
        return wait
      }
      endUnlessHeld(correlation, before, SOON)
      if (happens === 'a socket comes') {
        await correlation.claimed({ listenId: id, unknown: false, paused: false, issuer: 'xyz' })
      } else if (happens === 'jambonz is asked once more') {
        await store.write(CALL, [hookPart(id, {}, { offers: 2, watcher: 'a' })])
      } else if (happens === 'the plugin closes') await store.close()
      await until(() => waits.length === (happens === 'the plugin closes' ? 1 : 2), 'the waits')
      await Promise.all(waits)
      if (state === 'ended') await until(() => ended.length > 0, 'the end')
      await new Promise(setImmediate)
      const watcher = happens === 'jambonz is asked once more' ? 'a' : undefined
      t.match((await store.get(CALL))?.listens, [{ state, ...(watcher && { watcher }) }], happens)
      t.equal(ended.length, state === 'ended' ? 1 : 0)
    }
  }
)

t.test(
  'an instance watches the listens that a dead instance watched, but not the listens of live instances',
  async (t) => {
    for (const [watcher, expectedWatcher] of [
      ['dead', 'a'],
      ['alive', 'alive']
    ] as const) {
      const { correlation, id, listen } = await start(t)
      const { store } = correlation
      await correlation.released(listen)
      await store.write(CALL, [watchPart(id, watcher, true)])
      await correlation.instanceLost({ callSid: CALL, listenId: id, instance: 'dead' })
      t.match((await store.get(CALL))?.listens, [{ state: 'expected', watcher: expectedWatcher }])
    }
  }
)

t.test(
  'each call that ended without the store is looked at, also if the store is away again meanwhile',
  async (t) => {
    const { correlation, ended } = await start(t)
    const { store } = correlation
    const calls = ['c2', 'c3', 'c4']
    const asked = { path: '/audio', mixType: 'mono', sampleRate: 8000, channels: 1 } as const
    for (const callSid of calls) await correlation.answered(callSid, [{ ...asked, id: callSid, callSid }])
    const { get, health, waitFor, write } = store
    let available = true
    store.health = () => ({ ...health.call(store), available })
    store.write = async (...args) => ({ ...(await write.apply(store, args)), kept: available })
    store.waitFor = async (callSid, listenId, reached, ms) => {
      if (ms <= 15_000) return await waitFor.call(store, callSid, listenId, reached, 1)
      await until(() => reached(undefined), 'the store')
      return await get.call(store, callSid)
    }
    available = false
    for (const callSid of calls) await correlation.arrived(callSid, { callStatus: 'completed' })
    // The store goes away again after the first call was read.
    let reads = 0
    store.get = async (callSid) => {
      const call = await get.call(store, callSid)
      if (++reads === 2) {
        available = false
        setImmediate(() => (available = true))
      }
      return call
    }
    available = true
    await until(() => ended.length === calls.length, 'the ends')
    t.same(ended.map(({ callSid }) => callSid).sort(), calls)
  }
)
