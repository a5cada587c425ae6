import t, { type Test } from 'tap'
import { Correlation } from '../../lib/correlation/Correlation.js'
import { hookCame } from '../../lib/correlation/hookCame.js'
import { memoryStore, type Listen } from '../../lib/index.js'
import { Hmac } from '../../lib/model/Hmac.js'
import { createListenId } from '../../lib/model/listenId.js'
import type { FinishedRecording } from '../../lib/recording/index.js'
import { LISTEN_METADATA_KEY } from '../../lib/verbs/index.js'
import { keepingLogger } from '../helpers/log.js'

const CALL = 'c1'

async function start(t: Test, expected: Partial<Listen> = {}) {
  const secret = new Hmac('a secret of these tests')
  const { logger } = keepingLogger()
  const correlation = new Correlation({
    store: memoryStore(),
    secret,
    instance: 'a',
    logger,
    auth: undefined,
    hookPaths: new Set(['/done']),
    readToEnd: () => {}
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
  const claimed = await correlation.claimed({ listenId: id, unknown: false, issuer: 'xyz' })
  if (claimed.outcome !== 'claimed') throw new Error(claimed.outcome)
  return { correlation, id, ended, listen: claimed.listen }
}

const payload = { callSid: CALL, fields: { callStatus: 'in-progress' } }

t.test('a listen whose socket opens after its call has gone ends once', async (t) => {
  const { correlation, id, ended, listen } = await start(t)
  await hookCame(correlation, { listenId: id, call: payload, isOfListen: true })
  t.match(await correlation.streaming(listen, {}), { streams: false })
  await correlation.closed(listen, { endReason: 'closed' })
  t.match(ended, [{ id, endReason: 'notConnected' }])
  t.equal(ended.length, 1)
})

t.test(
  'a hook that reports the whole maxLength says why a listen ended whose first audio was lost',
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

t.test('the audio of a lost listen is what was recovered of it, once', async (t) => {
  const { correlation, id, listen } = await start(t)
  await correlation.streaming(listen, {})
  await correlation.instanceLost({ callSid: CALL, listenId: id, instance: 'a' })
  const recording = {
    location: 'x.wav',
    format: 'wav',
    bytes: 64_364,
    durationMs: 4_020
  } as FinishedRecording
  for (let i = 0; i < 2; i++) await correlation.recorded(listen, recording)
  t.match((await correlation.store.get(CALL))?.listens, [
    {
      endReason: 'lost',
      audio: { bytes: 64_320, durationMs: 4_020, frames: 201 },
      recording: { location: 'x.wav' }
    }
  ])
})

t.test('a listen that jambonz is asked for again ends with its call, whichever comes first', async (t) => {
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
