import { hangup, oneListen, outcomeOf, recording, silent, type Application } from './kit.js'

/** The applications of the tests in test/audio. */
export const AUDIO: Application[] = [
  {
    title: 'a streaming agent with an audio route of its own',
    from: 'test/audio/speaking.test.ts',
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [
        {
          verb: 'listen',
          url: '/agent',
          actionHook: '/done',
          mixType: 'stereo',
          sampleRate: 16_000,
          maxLength: 2,
          bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8_000 }
        }
      ])
      app.jambonz.audio('/agent', async (stream) => {
        stream.write(Buffer.alloc(16_000, 1))
        seen.push(await stream.mark('said'))
      })
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(outcomeOf(listen))
        return hangup
      })
    },
    call: { speed: 20 }
  },
  {
    title: 'an utterance that is heard, an utterance that is cleared, and a disconnect by the application',
    from: 'test/audio/utterances.test.ts',
    options: recording,
    inRealTime: true,
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [
        {
          verb: 'listen',
          url: '/agent',
          actionHook: '/done',
          bidirectionalAudio: { enabled: true, streaming: true, sampleRate: 8_000 }
        }
      ])
      app.jambonz.audio('/agent', async (stream) => {
        for (const text of ['short', 'long']) {
          const utterance = stream.utterance({ text })
          utterance.write(Buffer.alloc(text === 'short' ? 8_000 : 320_000, 1))
          utterance.end()
          if (text === 'long') stream.clear()
          seen.push([text, (await utterance.done).outcome])
        }
        await stream.disconnect()
      })
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(outcomeOf(listen, true))
        return hangup
      })
    },
    call: { speed: 20 }
  },
  {
    title: 'a file that is played, and whose end is reported',
    from: 'test/audio/playing.test.ts',
    inRealTime: true,
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', url: '/agent', actionHook: '/done' }])
      app.jambonz.audio('/agent', async (stream) => {
        const { id } = await stream.play(Buffer.alloc(16_000, 1), { id: 'prompt' })
        seen.push(id)
        await stream.disconnect()
      })
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(listen.endReason)
        return hangup
      })
    },
    call: { speed: 20 }
  },
  {
    title: 'keys that are pressed during privacy',
    from: 'test/audio/privacy.test.ts',
    options: recording,
    inRealTime: true,
    routes: (app, seen) => {
      app.jambonz.audio('/own', async (stream) => {
        stream.beginPrivacy()
        stream.on('dtmf', ({ digit, private: isPrivate }) => seen.push([digit, isPrivate]))
      })
      app.jambonz.webhook('/call', async () => [
        { verb: 'listen', url: '/own', actionHook: '/done', passDtmf: true, maxLength: 2 }
      ])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(listen.paused, listen.digits)
        return hangup
      })
    },
    call: { press: '42@500ms' }
  },
  oneListen(
    'a listen that each of several keys may end',
    'test/audio/ending.test.ts',
    { finishOnKey: '12*' },
    {
      call: { press: ['7@200ms', '*@500ms'], speech: silent },
      inRealTime: true
    }
  ),
  oneListen(
    'a silence that ends the listen',
    'test/audio/ending.test.ts',
    { timeout: 1 },
    {
      call: { speech: silent },
      inRealTime: true
    }
  ),
  oneListen(
    'a connection that breaks',
    'test/audio/opening.test.ts',
    {},
    {
      call: { faults: { dropAfterMs: 1_000 } },
      inRealTime: true
    }
  ),
  oneListen(
    'a slow upgrade',
    'test/audio/slowOpening.test.ts',
    { maxLength: 2 },
    {
      call: { faults: { slowUpgradeMs: 300 } },
      inRealTime: true
    }
  ),
  oneListen(
    'a first frame that is invalid JSON',
    'test/audio/opening.test.ts',
    { maxLength: 1, metadata: { a: 1 } },
    {
      call: { faults: { metadata: 'apostrophe' } }
    }
  ),
  oneListen(
    'a hook that arrives before its socket closes',
    'test/audio/closing.test.ts',
    { maxLength: 1 },
    {
      call: { faults: { hookBeforeCloseMs: 100 } }
    }
  )
]
