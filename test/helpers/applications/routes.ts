import { WebhookResponse } from '@jambonz/sdk/webhook'
import type { Call } from '../../../lib/index.js'
import { hangup, oneListen, outcomeOf, recording, type Application } from './kit.js'

/** The applications of the tests in test/routes. */
export const ROUTES: Application[] = [
  {
    title: 'prefix, parameters and a query; a redirect; a gather; two listens in a row',
    from: 'test/routes/webhook.test.ts',
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
    from: 'test/routes/webhook.test.ts',
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
    from: 'test/routes/webhook.test.ts',
    options: () => ({ fallback: [{ verb: 'say', text: 'Sorry' }, { verb: 'hangup' }] }),
    routes: (app) => {
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done', maxLength: 1 }])
      app.jambonz.actionHook('/done', async () => {
        throw new Error('no handler for that')
      })
    }
  },
  {
    title: 'environment variables, data of the application, a verb in its other spelling, reply.send()',
    from: 'test/routes/webhook.test.ts',
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async ({ call }, reply) => {
        seen.push(call.envVars)
        await app.jambonz.calls.update(call.callSid, { ticket: 7 })
        return reply.send([{ listen: { actionHook: '/done', maxLength: 1 } }])
      })
      app.jambonz.actionHook('/done', async ({ call }) => {
        seen.push(call.data, call.from, call.direction)
        return { verb: 'hangup' }
      })
    },
    call: { env: { MAIN_LANGUAGE: 'de' }, from: '+15085551212' }
  },
  {
    title: 'absolute urls of the application, and credentials of webhooks and sockets',
    from: 'test/routes/webhook.test.ts',
    options: () => ({
      ...recording(),
      publicUrl: 'http://127.0.0.1',
      auth: { username: 'audio', password: 'of the sockets' },
      webhookAuth: { username: 'web', password: 'of the webhooks' }
    }),
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [
        { verb: 'listen', url: 'ws://127.0.0.1/audio', actionHook: '/done', maxLength: 1 },
        { verb: 'listen', actionHook: '/done', maxLength: 1 },
        { verb: 'hangup' }
      ])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(outcomeOf(listen))
      })
    },
    call: { webhookAuth: { username: 'web', password: 'of the webhooks' } }
  },
  {
    title: 'a listen without an actionHook in an SDK response, and verbs after the listen',
    from: 'test/routes/actionHook.test.ts',
    options: recording,
    routes: (app) => {
      app.jambonz.webhook('/call', async () =>
        // No validation by the SDK, because it would compile jambonz' schemas again, and the plugin checks
        // the verbs anyway.
        new WebhookResponse({ validate: false })
          .listen({ url: '/audio', maxLength: 1, metadata: { a: 1 } })
          .pause({ length: 1 })
          .hangup()
      )
    }
  },
  oneListen(
    'a GET hook',
    'test/routes/actionHook.test.ts',
    {
      actionHook: { url: '/done', method: 'GET' },
      maxLength: 1
    },
    {
      differs: { callStatus: 'over HTTP a GET hook has no payload, and tells nothing of the call' }
    }
  ),
  oneListen('a hook whose url says how jambonz retries', 'test/routes/actionHook.test.ts', {
    actionHook: '/done?of=order#rc=3&rp=ct',
    maxLength: 1,
    id: 'a verb of its own'
  }),
  {
    title: 'a socket that is refused, and the hook that reports the refusal',
    from: 'test/routes/actionHook.test.ts',
    fails: true,
    routes: (app, seen) => {
      app.addHook('onRequest', async ({ headers }, reply) => {
        if (headers['sec-websocket-protocol'] === 'audio.jambonz.org') return await reply.code(503).send()
      })
      app.jambonz.audio('/full', () => {})
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', url: '/full', actionHook: '/done' }])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(outcomeOf(listen))
        return hangup
      })
    }
  },
  {
    title: 'two listens in a row; the answer to the first hook contains the second listen',
    from: 'test/routes/draining.test.ts',
    options: recording,
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/first', maxLength: 1 }])
      app.jambonz.actionHook('/first', async ({ listen }) => {
        seen.push(outcomeOf(listen))
        return [{ verb: 'listen', actionHook: '/second', maxLength: 1 }]
      })
      app.jambonz.actionHook('/second', async ({ listen }) => {
        seen.push(outcomeOf(listen))
        return hangup
      })
    }
  },
  oneListen('an audio route of its own, in stereo at 16 kHz', 'test/routes/audio.test.ts', {
    url: '/own',
    mixType: 'stereo',
    sampleRate: 16_000,
    passDtmf: true
  }),
  {
    title: 'an audio handler that throws ends its listen',
    from: 'test/routes/audio.test.ts',
    options: recording,
    inRealTime: true,
    routes: (app, seen) => {
      app.jambonz.audio('/own', async () => {
        throw new Error('no agent today')
      })
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', url: '/own', actionHook: '/done' }])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(listen.endReason)
        return hangup
      })
    }
  },
  {
    title: 'a hook with a parameter of its route',
    from: 'test/routes/hosts.test.ts',
    routes: (app, seen) => {
      app.jambonz.webhook('/call', async () => [
        { verb: 'listen', actionHook: '/orders/4%202/done', maxLength: 1 }
      ])
      app.jambonz.actionHook('/orders/:order/done', async ({ params, listen }) => {
        seen.push(params, listen.state)
        return hangup
      })
    }
  },
  {
    title: 'a status hook in the scope of the webhook, and the events of the call',
    from: 'test/routes/statusHook.test.ts',
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
