import agent from '../../../example-app/agent.js'
import voicemail from '../../../example-app/voicemail.js'
import { VOICEMAIL, WEB, hangup, outcomeOf, recording, type Application } from './kit.js'

/** The applications in README, in docs, and in the example application. */
export const DOCUMENTED: Application[] = [
  {
    title: 'the voicemail of README and of docs/simulator.md',
    from: 'README.md',
    options: () => ({ ...recording(), webhookSecret: 'secret of the portal', webhookAuth: WEB }),
    routes: VOICEMAIL,
    call: { press: '#', webhookSecret: 'secret of the portal', webhookAuth: WEB }
  },
  {
    title: 'the agent of README, interrupted by a key',
    from: 'README.md',
    inRealTime: true,
    differs: {
      hangupBy: 'no verb is left: over a websocket jambonz waits for commands, until the caller hangs up'
    },
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [
        {
          verb: 'listen',
          url: '/agent/audio',
          passDtmf: true,
          bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8000 }
        }
      ])
      app.jambonz.audio('/agent/audio', async (stream) => {
        stream.on('dtmf', ({ digit }) => {
          if (digit === '0') stream.disconnect()
        })
        let heard = 0
        for await (const pcm of stream) heard += (pcm as Buffer).length
        seen.push(heard > 0)
      })
    },
    call: { press: '0@1s', speed: 20 }
  },
  {
    title: 'the pause of docs/recording.md',
    from: 'docs/recording.md',
    options: recording,
    inRealTime: true,
    routes: (app, seen) => {
      app.jambonz.calls.events.on('stream', (stream) => {
        stream.on('dtmf', ({ digit }) => {
          if (digit === '*') stream.recording?.pause('silence')
          if (digit === '#') stream.recording?.resume()
        })
      })
      app.jambonz.webhook('/call', async () => [
        { verb: 'listen', actionHook: '/done', passDtmf: true, maxLength: 3 }
      ])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(listen.recording !== undefined, listen.paused)
        return hangup
      })
    },
    call: { press: ['*@500ms', '#@1500ms'], speed: 20 }
  },
  {
    title: 'the application that docs/simulator.md tests with faults',
    from: 'docs/simulator.md',
    options: recording,
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done', finishOnKey: '#' }])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(outcomeOf(listen))
        return hangup
      })
    },
    call: { press: '#@4s', faults: { metadata: 'apostrophe' } }
  },
  {
    title: 'the server of docs/operations/cluster.md',
    from: 'docs/operations/cluster.md',
    options: recording,
    routes: (app) => {
      app.jambonz.webhook('/call', async () => [
        { verb: 'listen', actionHook: '/call/done' },
        { verb: 'hangup' }
      ])
      app.jambonz.actionHook('/call/done', async () => [])
      app.jambonz.statusHook('/status')
    },
    call: { statusHook: '/status' }
  },
  {
    title: 'the example of docs/websocket.md',
    from: 'docs/websocket.md',
    options: recording,
    routes: (app, seen) => {
      app.jambonz.webhook('/voicemail', async () => [
        { verb: 'listen', actionHook: '/voicemail/done', finishOnKey: '#' }
      ])
      app.jambonz.actionHook('/voicemail/done', async (request) => {
        seen.push(typeof request.jambonz?.transport, outcomeOf(request.listen))
        return hangup
      })
    },
    call: { hook: '/voicemail', press: '#@2s' }
  },
  {
    title: "the example application's voicemail",
    from: 'test/example-app/lines.test.ts',
    options: recording,
    routes: async (app) => await voicemail(app),
    call: { hook: '/voicemail', press: '#@2s', from: '+15085551212' }
  },
  {
    title: "the example application's agent",
    from: 'test/example-app/lines.test.ts',
    options: recording,
    inRealTime: true,
    routes: async (app) => await agent(app),
    call: { hook: '/agent', press: '#@2s', speed: 20, from: '+15085551212' }
  }
]
