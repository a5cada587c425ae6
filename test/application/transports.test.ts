import t from 'tap'
import { WebhookResponse } from '@jambonz/sdk/webhook'
import type { FastifyInstance } from 'fastify'
import type { Call, Listen } from '../../lib/index.js'
import { simulateCall, type CallStory, type SimulateCallOptions } from '../../lib/simulator/index.js'
import { build, folder, type BuildOptions } from '../helpers/build.js'
import { until } from '../helpers/until.js'

// Every kind of application that listens, asked over both transports: the outcome has to be the same.

interface Application {
  title: string
  options?: () => BuildOptions
  routes: (app: FastifyInstance, seen: unknown[]) => void
  call?: Partial<SimulateCallOptions>
  /** what the application must have seen, over either transport */
  expected?: unknown[]
}

const recording = () => ({ recording: { directory: folder() } })
const hangup = [{ verb: 'hangup' as const }]

/** What a listen has come to, without what differs from call to call. */
function outcomeOf(listen: Listen | undefined): unknown {
  if (listen === undefined) return undefined
  const {
    state,
    connected,
    mixType,
    sampleRate,
    channels,
    nested,
    endReason,
    audio,
    digits,
    path,
    metadata
  } = listen
  return {
    state,
    connected,
    mixType,
    sampleRate,
    channels,
    nested,
    endReason,
    bytes: audio.bytes,
    digits,
    path,
    metadata,
    recorded: listen.recording?.durationMs
  }
}

const APPLICATIONS: Application[] = [
  {
    title: 'a voicemail that ends with a key',
    options: recording,
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [
        { verb: 'say', text: 'Hi' },
        { verb: 'listen', actionHook: '/done', playBeep: true, finishOnKey: '#', maxLength: 60 }
      ])
      app.jambonz.actionHook('/done', async ({ listen, call, body }) => {
        seen.push(outcomeOf(listen), call.callSid === body.call_sid, body.digits)
        return [{ verb: 'say', text: 'Bye' }, { verb: 'hangup' }]
      })
    },
    call: { press: '#@2s' }
  },
  {
    title: 'no actionHook of its own, an SDK response, verbs after the listen',
    options: recording,
    routes: (app) => {
      app.jambonz.webhook('/call', async () =>
        new WebhookResponse()
          .listen({ url: '/audio', maxLength: 1, metadata: { a: 1 } })
          .pause({ length: 1 })
          .hangup()
      )
    }
  },
  {
    title: 'a streaming agent with an audio route of its own',
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
    title: 'a dial with a listen nested in it',
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
    title: 'prefix, parameters and a query; a redirect; a gather; two listens in a row',
    options: recording,
    routes: (app, seen) => {
      app.register(
        async (scope) => {
          scope.jambonz.webhook('/call', async ({ params, query }) => {
            seen.push(params, query)
            return [{ verb: 'redirect', actionHook: '/tenants/acme/second?step=2' }]
          })
          scope.jambonz.webhook('/second', async ({ params, query }) => {
            seen.push(params, query)
            return [
              { verb: 'gather', input: ['digits'], numDigits: 1, actionHook: '/tenants/acme/digit?of=menu' }
            ]
          })
          scope.jambonz.webhook('/digit', async ({ body, query }) => {
            seen.push((body as { digits?: unknown }).digits, query)
            return [
              { verb: 'listen', actionHook: '/first', maxLength: 1 },
              { verb: 'listen', actionHook: '/tenants/acme/last', maxLength: 1 }
            ]
          })
          scope.jambonz.actionHook('/first', async ({ listen }) => {
            seen.push(listen.state)
          })
          scope.jambonz.actionHook('/last', async ({ listen, call }) => {
            seen.push(listen.state, call.listens.length)
            return hangup
          })
        },
        { prefix: '/tenants/:tenant' }
      )
    },
    call: { hook: '/tenants/acme/call?from=portal', press: '5@1s' }
  },
  {
    title: 'hooks of the scope, validation and an error handler',
    routes: (app, seen) => {
      app.addHook('onRequest', async (request) => {
        if (request.jambonz !== undefined) seen.push('onRequest')
      })
      app.register(async (scope) => {
        scope.addHook('preHandler', async ({ call }) => {
          seen.push(typeof call)
        })
        scope.addHook('onSend', async (_request, reply, payload) => {
          seen.push(reply.statusCode)
          return payload
        })
        scope.jambonz.webhook(
          '/call',
          {
            schema: {
              body: { type: 'object', required: ['from'], properties: { from: { type: 'string' } } } as const
            },
            preSerialization: async (_request, _reply, payload) => [
              { verb: 'answer' },
              ...(payload as object[])
            ]
          },
          async () => [{ verb: 'listen', actionHook: '/done', maxLength: 1 }]
        )
        scope.jambonz.actionHook(
          '/done',
          {
            errorHandler: (error, _request, reply) =>
              reply.code(200).send([{ verb: 'say', text: error.message }, { verb: 'hangup' }])
          },
          async () => {
            throw new Error('told by the error handler')
          }
        )
      })
    }
  },
  {
    title: 'a handler that throws, answered with the fallback',
    options: () => ({ fallback: [{ verb: 'say', text: 'Sorry' }, { verb: 'hangup' }] }),
    routes: (app) => {
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done', maxLength: 1 }])
      app.jambonz.actionHook('/done', async () => {
        throw new Error('no handler for that')
      })
    }
  },
  {
    title: 'a status hook in the same scope, events of the call',
    options: recording,
    routes: (app, seen) => {
      const { events } = app.jambonz.calls
      events.on('callEnded', (call: Call) => seen.push('callEnded', call.callStatus))
      events.on('listenEnded', (listen) => seen.push('listenEnded', listen.endReason))
      app.register(async (scope) => {
        scope.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done', maxLength: 1 }])
        scope.jambonz.actionHook('/done', async () => hangup)
        scope.jambonz.statusHook('/status', async ({ body }) => {
          seen.push(body.call_status)
        })
      })
      app.jambonz.statusHook('/other', async () => {
        seen.push('the wrong scope')
      })
    },
    call: { statusHook: '/status' }
  }
]

/** The story without what differs from call to call, or between the transports. */
function told(story: CallStory): unknown {
  return {
    errors: story.errors,
    hangupBy: story.hangupBy,
    verbs: story.verbs.map(({ verb, data }) => ({ verb, text: data.text, length: data.length })),
    requests: story.requests.filter(({ kind }) => kind !== 'status').map(({ kind }) => kind),
    statuses: story.requests
      .filter(({ kind }) => kind === 'status')
      .map(({ payload }) => (payload as { call_status: string }).call_status),
    listens: story.listens.map(({ role, mixType, sampleRate, closedBy, closeCode, sent }) => ({
      role,
      mixType,
      sampleRate,
      closedBy,
      closeCode,
      bytes: sent.bytes
    }))
  }
}

const byText = (a: unknown, b: unknown) => (String(JSON.stringify(a)) < String(JSON.stringify(b)) ? -1 : 1)

for (const { title, options, routes, call } of APPLICATIONS) {
  t.test(`over both transports: ${title}`, async (t) => {
    const run = async (transport: 'http' | 'websocket') => {
      const seen: unknown[] = []
      const app = await build(t, options?.() ?? {})
      routes(app, seen)
      const story = await simulateCall({ app, hook: '/call', transport, ...call })
      if (call?.statusHook !== undefined) await until(() => seen.includes('callEnded'), 'the end of the call')
      const { listens, callStatus } = (await app.jambonz.calls.get(story.callSid))!
      // hooks of a dial and of its listen come in any order
      seen.sort(byText)
      return { seen, story: told(story), listens: listens.map(outcomeOf), callStatus }
    }
    const http = await run('http')
    const websocket = await run('websocket')
    t.strictSame(http.story, { ...(http.story as object), errors: [] }, 'the call itself works')
    t.strictSame(websocket, http)
    t.ok(http.listens.length > 0)
  })
}
