import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { simulateCall } from '../../lib/simulator/index.js'
import { build, folder } from '../helpers/build.js'
import { until } from '../helpers/until.js'

t.test(
  'if a sink fails once, its recording emits recordingSpooled once, and later recording once',
  async (t) => {
    const directory = folder()
    let attempts = 0
    const app = await build(t, {
      recording: {
        directory,
        fileName: () => 'call',
        sink: () => {
          if (++attempts === 1) throw new Error('away')
          return Object.assign(new PassThrough().resume(), { location: 'far away' })
        }
      }
    })
    const told: unknown[] = []
    app.jambonz.calls.events
      .on('recordingSpooled', ({ id, state, location }) =>
        told.push(['recordingSpooled', id, state, location])
      )
      .on('recording', ({ id, state, location }) => told.push(['recording', id, state, location]))
    app.jambonz.webhook('/in', async (request) => {
      await app.jambonz.calls.update(request.call?.callSid ?? '', { ticket: 7 })
      return [{ verb: 'listen', actionHook: '/done', maxLength: 1 }]
    })
    let id: string | undefined
    app.jambonz.actionHook('/done', (request) => {
      id = request.listen.recording?.id
      t.equal(request.listen.recording?.state, 'spooled')
      return []
    })
    await simulateCall({ app, hook: '/in' })
    await until(() => told.length >= 2, 'the second attempt')
    t.same(told, [
      ['recordingSpooled', id, 'spooled', join(directory, 'call.wav')],
      ['recording', id, 'saved', 'far away']
    ])
    t.match(JSON.parse(await readFile(join(directory, 'call.json'), 'utf8')), {
      call: { from: /^\+?\w+/, to: /^\+?\w+/, direction: 'inbound', data: { ticket: 7 } },
      recording: { state: 'saved', location: 'far away' }
    })
    const json = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.json'))
    t.same(json, ['call.json'], 'the only file that *.json matches is the sidecar')
  }
)
