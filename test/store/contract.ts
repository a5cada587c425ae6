import type { Test } from 'tap'
import type { Call, Listen } from '../../lib/index.js'
import type { CallPatch } from '../../lib/store/index.js'
import type { StoredListen } from '../../lib/model/schema.js'
import type { StoreWithVerbs } from '../helpers/storeVerbs.js'
import { until } from '../helpers/until.js'

const RECORDING = {
  id: 'file',
  state: 'saved' as const,
  location: 'x.wav',
  format: 'wav',
  bytes: 44,
  durationMs: 0,
  sampleRate: 8000,
  channels: 1,
  startedAt: '2026-01-01T00:00:00.000Z',
  endedAt: '2026-01-01T00:00:00.000Z',
  gaps: [],
  pauses: []
}

export interface OpenOptions {
  callTtl?: number
}

/**
 * Resolves to two stores that share their data. A memory store can't be shared, so both are then the same
 * object.
 */
export type OpenStores = (t: Test, options?: OpenOptions) => Promise<[a: StoreWithVerbs, b: StoreWithVerbs]>

let calls = 0
const newSid = () => `call-${process.pid}-${++calls}`

function listenOf(call: Call | undefined, id: string) {
  return call?.listens.find((listen) => listen.id === id)
}

function isOver(listen: Listen | undefined): boolean {
  return listen?.state === 'ended'
}

/** Tests the contract that every CallStore must keep. */
export function storeContract(t: Test, open: OpenStores): void {
  t.test('get() of a call that was never written is undefined', async (t) => {
    const [a] = await open(t)
    t.equal(await a.get(newSid()), undefined)
    t.equal(
      await a.waitFor(newSid(), 'l1', isOver, 60_000),
      undefined,
      'waitFor() of an unknown listen resolves at once'
    )
  })

  t.test('a write with the guard that the call exists does not create a call', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    const write = [{ guards: [{ field: 'createdAt', not: null }], patch: { data: { x: 1 } } }]
    t.match(await a.write(callSid, write), { applied: [false], created: false, kept: true })
    t.equal(await a.get(callSid), undefined)
    await a.update(callSid, { data: { y: 2 } })
    t.match(await b.write(callSid, write), {
      applied: [true],
      created: false,
      call: { data: { x: 1, y: 2 } }
    })
  })

  t.test('the first write creates the call, on any instance', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    const first = await a.update(callSid, { call: { from: '+15083084809', direction: 'inbound' } })
    const second = await b.update(callSid, { call: { callStatus: 'in-progress' } })
    t.match([first.created, second.created], [true, false])
    t.strictSame(Object.keys(first.call).sort(), [
      'callSid',
      'createdAt',
      'data',
      'direction',
      'from',
      'listens',
      'updatedAt'
    ])
    t.match(second.call, {
      callSid,
      from: '+15083084809',
      direction: 'inbound',
      callStatus: 'in-progress',
      data: {},
      listens: []
    })
    t.strictSame(await a.get(callSid), second.call)
    t.ok(second.call.updatedAt >= second.call.createdAt)
  })

  t.test('if many instances write a new call at once, only one instance creates the call', async (t) => {
    const stores = await open(t)
    const callSid = newSid()
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) => stores[i % 2]!.update(callSid, { data: { [`key${i}`]: i } }))
    )
    t.equal(results.filter(({ created }) => created).length, 1)
    const call = await stores[0].get(callSid)
    t.strictSame(
      call?.data,
      Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`key${i}`, i])),
      'no write is lost'
    )
  })

  t.test('two instances can write different fields of one call, or of one listen, at once', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    await a.update(callSid, { listens: [{ id: 'l1', path: '/audio', sampleRate: 16_000 }] })
    await Promise.all([
      a.update(callSid, {
        call: { callStatus: 'in-progress' },
        listens: [{ id: 'l1', state: 'streaming', connected: true }]
      }),
      b.update(callSid, {
        call: { to: '+12125551212' },
        data: { agent: 'Ann' },
        listens: [{ id: 'l1', digits: '#' }]
      })
    ])
    const call = await b.get(callSid)
    t.match(call, { callStatus: 'in-progress', to: '+12125551212', data: { agent: 'Ann' } })
    t.match(listenOf(call, 'l1'), {
      path: '/audio',
      sampleRate: 16_000,
      state: 'streaming',
      connected: true,
      digits: '#'
    })
  })

  t.test('the latest write of a field stays, whichever instance made it', async (t) => {
    const stores = await open(t)
    const callSid = newSid()
    for (let i = 0; i < 20; i++) {
      await stores[i % 2]!.update(callSid, { call: { callStatus: `s${i}` }, data: { i } })
      t.match(await stores[(i + 1) % 2]!.get(callSid), { callStatus: `s${i}`, data: { i } })
    }
  })

  t.test('data is merged key by key, and any JSON value in the data is kept unchanged', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    const deep = { list: [1, null, { 'a:b': 'ü "x" \\ \n \u2028' }], no: false, zero: 0, empty: '' }
    await a.update(callSid, {
      data: { deep, 'key:with {braces} and #': 1, 'nothing': null, ['__proto__']: 'own' }
    })
    const { call } = await b.update(callSid, { data: { more: [] } })
    t.strictSame(call.data, {
      deep,
      'key:with {braces} and #': 1,
      'nothing': null,
      ['__proto__']: 'own',
      'more': []
    })
    t.equal(Object.getPrototypeOf(call.data), Object.prototype)
    t.strictSame(
      (await b.update(callSid, { data: { deep: 1 } })).call.data.deep,
      1,
      'the value of a key is replaced as a whole'
    )
  })

  t.test('a field that is undefined is not written', async (t) => {
    const [a] = await open(t)
    const callSid = newSid()
    await a.update(callSid, { call: { from: 'Ann' }, data: { x: 1 }, listens: [{ id: 'l1', digits: '1' }] })
    const { call } = await a.update(callSid, {
      call: { from: undefined },
      data: { x: undefined },
      listens: [{ id: 'l1', digits: undefined }]
    } as CallPatch)
    t.match([call.from, call.data.x, listenOf(call, 'l1')?.digits], ['Ann', 1, '1'])
  })

  t.test('a field of a listen is left out if its value is null as JSON', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    const { call } = await a.update(callSid, {
      listens: [{ id: 'l1', digits: '1', reportedDuration: NaN, metadata: { toJSON: () => null } }]
    })
    for (const listen of [listenOf(call, 'l1'), listenOf(await b.get(callSid), 'l1')]) {
      t.match(listen, { digits: '1' })
      t.notOk('reportedDuration' in listen! || 'metadata' in listen!)
    }
  })

  t.test(
    'data that is not JSON is refused with an error that names the value, and is not written',
    async (t) => {
      const [a] = await open(t)
      const callSid = newSid()
      await a.update(callSid, { data: { x: 1 } })
      await t.rejects(a.update(callSid, { data: { big: 1n } }), {
        code: 'FST_JAMBONZ_CALL_DATA',
        message: new RegExp(callSid)
      })
      t.strictSame((await a.get(callSid))?.data, { x: 1 })
    }
  )

  t.test('listens are in the order in which they were added', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    await a.update(callSid, {
      listens: [
        { id: 'z', path: '/1' },
        { id: 'm', path: '/2' }
      ]
    })
    await b.update(callSid, {
      listens: [
        { id: 'a', path: '/3' },
        { id: 'z', verbId: 'zed' }
      ]
    })
    const { call } = await a.update(callSid, { listens: [{ id: 'b' }] })
    t.strictSame(
      call.listens.map(({ id }) => id),
      ['z', 'm', 'a', 'b']
    )
    t.match(call.listens[0], { id: 'z', callSid, path: '/1', verbId: 'zed' })
    t.match(
      call.listens[3],
      {
        state: 'expected',
        connected: false,
        mixType: 'mono',
        channels: 1,
        sampleRate: 8000,
        audio: { frames: 0, bytes: 0 }
      },
      "a listen without further fields has jambonz' defaults"
    )
    t.match(
      (await b.get(callSid))?.listens.map(({ id }) => id),
      ['z', 'm', 'a', 'b']
    )
  })

  t.test('a snapshot of a call is deeply frozen, and later writes do not change the snapshot', async (t) => {
    const [a] = await open(t)
    const callSid = newSid()
    const metadata = { account: { id: 7 } }
    const { call } = await a.update(callSid, { data: { list: [{}] }, listens: [{ id: 'l1', metadata }] })
    metadata.account.id = 8
    await a.update(callSid, { listens: [{ id: 'l1', state: 'streaming' }] })
    t.match(call.listens[0], { state: 'expected', metadata: { account: { id: 7 } } })
    for (const part of [
      call,
      call.data,
      call.data.list,
      call.listens,
      call.listens[0],
      call.listens[0]?.audio,
      call.listens[0]?.metadata?.account
    ]) {
      t.ok(Object.isFrozen(part))
    }
    t.ok(Object.isFrozen((await a.get(callSid))?.listens[0]?.metadata?.account))
  })

  t.test('if several instances claim one listen many times, exactly one claim succeeds', async (t) => {
    const stores = await open(t)
    const callSid = newSid()
    await stores[0].update(callSid, { listens: [{ id: 'l1', path: '/audio' }] })
    const claims = await Promise.all(
      Array.from({ length: 10 }, (_, i) => stores[i % 2]!.claim(callSid, 'l1'))
    )
    t.equal(claims.filter(({ claimed }) => claimed).length, 1)
    const winner = claims.find(({ claimed }) => claimed)
    t.match(listenOf(winner?.call, 'l1'), { state: 'expected', path: '/audio', instance: String })
    t.equal((await stores[1].claim(callSid, 'l1')).claimed, false, 'a later claim fails too')
  })

  t.test("a claim creates an unknown listen; a listen that has ended can't be claimed", async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    const { claimed, call } = await a.claim(callSid, 'l1')
    t.match(
      [claimed, listenOf(call, 'l1')],
      [true, { id: 'l1', callSid, state: 'expected', instance: String }]
    )
    await a.update(callSid, { listens: [{ id: 'l2', state: 'ended' }] })
    t.match(await b.claim(callSid, 'l2'), { claimed: false, call: { callSid } })
  })

  t.test(
    'when a listen is reopened, waits for its segments resolve, and the listen can be claimed again',
    async (t) => {
      const [a, b] = await open(t)
      const callSid = newSid()
      await a.claim(callSid, 'l1')
      await a.update(callSid, { listens: [{ id: 'l1', state: 'streaming', connected: true }] })
      const waiting = b.waitFor(callSid, 'l1', (listen) => listen?.segments !== undefined, 60_000)
      const segments = [
        {
          instance: 'a',
          endedAt: '2026-01-01T00:00:00.000Z',
          audio: { frames: 1, bytes: 2, durationMs: 3, gapMs: 0, maxGapMs: 0 }
        }
      ]
      t.match(await a.reopen(callSid, 'l1', { segments }), { reopened: true })
      const open1 = listenOf(await waiting, 'l1')
      t.match(open1, { state: 'expected', connected: true, segments })
      t.notOk('instance' in open1!)
      const claims = await Promise.all([a, b, b].map((store) => store.claim(callSid, 'l1')))
      t.equal(claims.filter(({ claimed }) => claimed).length, 1)
      await b.update(callSid, { listens: [{ id: 'l1', state: 'ended' }] })
      t.match(await a.reopen(callSid, 'l1', { digits: '1' }), { reopened: false })
      t.equal(
        listenOf(await a.get(callSid), 'l1')?.digits,
        undefined,
        'a listen that has ended is not reopened'
      )
    }
  )

  t.test('if several instances end a call at once, only the first end is written', async (t) => {
    const stores = await open(t)
    const callSid = newSid()
    await stores[0].update(callSid, { call: { callStatus: 'in-progress' } })
    const ends = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        stores[i % 2]!.end(callSid, { call: { callStatus: `completed${i}` } })
      )
    )
    t.equal(ends.filter(({ first }) => first).length, 1)
    const call = await stores[1].get(callSid)
    t.strictSame(call, ends.find(({ first }) => first)?.call, 'the later ends write nothing')
    t.match(call?.endedAt, /^\d{4}-\d\d-\d\dT/)
    t.match(
      await stores[0].end(newSid(), {}),
      { first: true, created: true, call: { endedAt: String } },
      'the end of an unknown call is written too'
    )
    t.match(
      ends.filter(({ created }) => created),
      []
    )
  })

  t.test('a second write of the end of a call adds only its data and its listens', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    await a.end(callSid, { call: { callStatus: 'completed' } })
    const { first, call } = await b.end(callSid, {
      call: { callStatus: 'failed', from: 'Ann' },
      data: { x: 1 },
      listens: [{ id: 'l1', digits: '1' }]
    })
    t.match(
      [first, call],
      [false, { callStatus: 'completed', from: undefined, data: { x: 1 }, listens: [{ digits: '1' }] }]
    )
    t.strictSame(await a.get(callSid), call)
  })

  t.test('a later write does not change the fields that were written with the end of a call', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    await a.update(callSid, { call: { callStatus: 'trying' } })
    await b.end(callSid, { call: { callStatus: 'completed' }, data: { x: 1 } })
    const { call } = await a.update(callSid, {
      call: { callStatus: 'in-progress', from: 'Ann' },
      data: { x: 2 },
      listens: [{ id: 'l1', digits: '1' }]
    })
    t.match(
      call,
      { callStatus: 'completed', endedAt: String, from: 'Ann', data: { x: 2 }, listens: [{ digits: '1' }] },
      'other fields are written'
    )
    t.strictSame(await b.get(callSid), call)
  })

  t.test('a listen without a socket ends once, and a listen with a socket does not end', async (t) => {
    const stores = await open(t)
    const [a, b] = stores
    const callSid = newSid()
    const { call } = await a.update(callSid, {
      listens: [{ id: 'l1', path: '/audio' }, { id: 'l2' }, { id: 'l3' }]
    })
    const [l1, l2, l3] = call.listens as [StoredListen, StoredListen, StoredListen]
    const waiting = b.waitFor(callSid, 'l1', isOver, 60_000)
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        stores[i % 2]!.conclude(l1, { endReason: 'notConnected', digits: String(i) })
      )
    )
    t.equal(all.filter(({ concluded }) => concluded).length, 1)
    t.match(listenOf(await waiting, 'l1'), { state: 'ended', endReason: 'notConnected', path: '/audio' })
    t.equal((await b.claim(callSid, 'l1')).claimed, false)

    const claim = await b.claim(callSid, 'l2')
    t.match(
      await a.conclude(l2, { digits: '9' }),
      { concluded: false, call: { callSid } },
      'a claim since the read prevents the end'
    )
    t.match(
      await a.conclude(listenOf(claim.call, 'l2')!, {}),
      { concluded: true },
      'a claimed listen without a socket can end'
    )
    await b.claim(callSid, 'l3')
    const streaming = (await b.update(callSid, { listens: [{ id: 'l3', state: 'streaming' }] })).call
    t.match(await a.conclude(listenOf(streaming, l3.id)!, {}), { concluded: false })
    t.match(
      (await a.get(callSid))?.listens.map(({ state, digits }) => [state, digits]),
      [
        ['ended', String],
        ['ended', undefined],
        ['streaming', undefined]
      ]
    )
  })

  t.test('a wait for a listen resolves at its end, on any instance', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    await a.claim(callSid, 'l1')
    await a.update(callSid, { listens: [{ id: 'other', state: 'expected' }] })
    const waiting = [a, b, b].map((store) => store.waitFor(callSid, 'l1', isOver, 60_000))
    const other = b.waitFor(callSid, 'other', isOver, 300)
    await a.update(callSid, { listens: [{ id: 'l1', state: 'streaming' }, { id: 'other' }] })
    const before = Date.now()
    await a.update(callSid, {
      listens: [
        {
          id: 'l1',
          state: 'ended',
          endReason: 'closed',
          recording: RECORDING
        }
      ]
    })
    for (const call of await Promise.all(waiting)) {
      t.match(listenOf(call, 'l1'), {
        state: 'ended',
        endReason: 'closed',
        recording: { location: 'x.wav', bytes: 44 }
      })
    }
    t.ok(Date.now() - before < 500, 'without polling')
    t.match(
      listenOf(await other, 'other'),
      { state: 'expected' },
      'a wait for another listen lasts until its timeout'
    )
    t.match(
      listenOf(await b.waitFor(callSid, 'l1', isOver, 60_000), 'l1'),
      { state: 'ended' },
      'a wait for an ended listen resolves at once'
    )
  })

  t.test('a wait for the recordings of a listen resolves when all of them are saved', async (t) => {
    const [a, b] = await open(t)
    const callSid = newSid()
    await a.claim(callSid, 'l1')
    await a.reopen(callSid, 'l1', {})
    const waiting = b.waitFor(callSid, 'l1', (listen) => listen?.saved === 1, 60_000)
    const before = Date.now()
    await a.update(callSid, { listens: [{ id: 'l1', saved: 1 }] })
    t.match(listenOf(await waiting, 'l1'), { saved: 1 })
    t.ok(Date.now() - before < 500, 'without polling')
  })

  t.test('a wait that times out resolves to the current call', async (t) => {
    const [, b] = await open(t)
    const callSid = newSid()
    await b.claim(callSid, 'l1')
    const before = Date.now()
    t.match(listenOf(await b.waitFor(callSid, 'l1', isOver, 150), 'l1'), { state: 'expected' })
    const took = Date.now() - before
    t.ok(took >= 140 && took < 1_500, `${took} ms`)
  })

  t.test('the calls are listed, newest first', async (t) => {
    const [a, b] = await open(t)
    const sids = [newSid(), newSid(), newSid()]
    for (const [i, callSid] of sids.entries()) {
      await (i % 2 ? a : b).update(callSid, { call: { createdAt: new Date(2e12 + i).toISOString() } })
    }
    t.strictSame(
      (await a.list()).map(({ callSid }) => callSid),
      sids.toReversed()
    )
    t.ok(Object.isFrozen((await b.list())[0]?.data))
  })

  t.test('a call is deleted callTtl ms after its last event', async (t) => {
    const [a, b] = await open(t, { callTtl: 400 })
    const callSid = newSid()
    await a.update(callSid, {})
    const start = Date.now()
    let last = start
    while (Date.now() < start + 600) {
      if (Date.now() - last > 100) {
        last = Date.now()
        await b.update(callSid, {})
      }
      if ((await a.get(callSid)) === undefined && Date.now() - last < 400) {
        t.fail('each event restarts callTtl')
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await until(
      async () => (await a.get(callSid)) === undefined && (await b.get(callSid)) === undefined,
      'the end of the call'
    )
    t.ok(Date.now() - last >= 390)
    t.strictSame(await b.list(), [])
    t.match(await a.update(callSid, {}), { created: true }, 'a later event creates a new call')
  })

  t.test('a call is kept while one of its listens streams', async (t) => {
    const [a, b] = await open(t, { callTtl: 300 })
    const callSid = newSid()
    await a.claim(callSid, 'l1')
    await a.update(callSid, { listens: [{ id: 'l1', state: 'streaming' }] })
    const end = Date.now() + 900
    await until(() => Date.now() > end, 'three times callTtl')
    t.match(await b.get(callSid), { callSid, listens: [{ state: 'streaming' }] })
    await a.update(callSid, { listens: [{ id: 'l1', state: 'ended' }] })
    await until(async () => (await b.get(callSid)) === undefined, 'the end of the call')
  })

  t.test('different callSids do not collide, whatever characters they have', async (t) => {
    const [a, b] = await open(t)
    const sids = ['}', '{}', 'a}b{c', 'a:b', ' ', 'ü', 'l:x:state'].map((name) => `${name}${newSid()}`)
    for (const callSid of sids) await a.update(callSid, { data: { callSid } })
    for (const callSid of sids) t.match(await b.get(callSid), { callSid, data: { callSid } })
  })

  t.test('close() resolves all waits', async (t) => {
    const [a] = await open(t)
    const callSid = newSid()
    await a.claim(callSid, 'l1')
    const waiting = a.waitFor(callSid, 'l1', isOver, 60_000)
    await a.close()
    t.match(await waiting, { callSid })
  })
}
