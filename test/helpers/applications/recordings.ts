import { PassThrough } from 'node:stream'
import { folder } from '../build.js'
import { VOICEMAIL, hangup, oneListen, recording, type Application } from './kit.js'

/** The applications of the tests in test/recording. */
export const RECORDING: Application[] = [
  {
    title: 'a voicemail that ends with a key',
    from: 'test/recording/record.test.ts',
    options: recording,
    routes: VOICEMAIL,
    call: { press: '#@2s' }
  },
  {
    title: 'a dial with a listen nested in it',
    from: 'test/recording/record.test.ts',
    options: recording,
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [
        {
          verb: 'dial',
          target: [{ type: 'phone', number: '15550123' }],
          listen: { url: '/audio', actionHook: '/nested' },
          actionHook: '/dialled'
        }
      ])
      app.jambonz.actionHook('/nested', async ({ listen }) => {
        seen.push(listen.state, listen.nested, listen.recording !== undefined)
      })
      app.jambonz.webhook('/dialled', async ({ body }) => {
        seen.push((body as { dial_call_status?: unknown }).dial_call_status)
        return hangup
      })
    }
  },
  {
    title: 'a background listen beside the verbs',
    from: 'test/recording/record.test.ts',
    options: recording,
    routes: (app) => {
      app.jambonz.webhook('/call', async () => [
        { verb: 'config', listen: { enable: true, url: '/audio' } },
        { verb: 'pause', length: 1 },
        { verb: 'hangup' }
      ])
    }
  },
  {
    title: 'a sink, a name, and the events that report the recording',
    from: 'test/recording/events.test.ts',
    options: () => ({
      recording: {
        directory: folder(),
        fileName: () => 'call',
        sink: () => Object.assign(new PassThrough().resume(), { location: 'far away' })
      }
    }),
    routes: (app, seen) => {
      app.jambonz.calls.events.on('recordingFailed', () => seen.push('failed'))
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done', maxLength: 1 }])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(listen.recording?.location, listen.recording?.state)
        return hangup
      })
    }
  },
  {
    title: 'a sink that fails while the call continues',
    from: 'test/recording/failures.test.ts',
    options: () => ({
      recording: {
        sink: () => {
          throw new Error('away')
        }
      }
    }),
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done', maxLength: 1 }])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(listen.recording, listen.recordingError?.endsWith('failed: away'), listen.endReason)
        return hangup
      })
    }
  },
  oneListen(
    'an encrypted recording',
    'test/recording/keeping.test.ts',
    { maxLength: 1 },
    {
      options: () => ({
        recording: {
          directory: folder(),
          encryption: { keyId: 'k', key: () => Buffer.alloc(32, 1) }
        }
      })
    }
  ),
  oneListen('a stereo recording', 'test/recording/output.test.ts', { mixType: 'stereo', maxLength: 1 }),
  oneListen('a mixed recording with a beep', 'test/recording/readers.test.ts', {
    mixType: 'mixed',
    playBeep: true,
    maxLength: 1
  })
]
