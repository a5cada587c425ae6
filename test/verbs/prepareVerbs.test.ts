import { WebhookResponse } from '@jambonz/sdk'
import t from 'tap'
import { prepareVerbs, type HandlerResult, type VerbContext } from '../../lib/verbs/index.js'
import { acceptedByJambonz, CALL, verbContext } from '../helpers/verbContext.js'

const target = [{ type: 'phone' as const, number: '+15085551212' }]

/** Prepares the verbs for jambonz, and asserts that both of jambonz' validators accept the result. */
function prepare(result: unknown, context: Partial<VerbContext> = {}) {
  const prepared = prepareVerbs(result as HandlerResult, verbContext(context))
  acceptedByJambonz(prepared.verbs)
  return prepared
}

const refused = (result: unknown) => () => prepareVerbs(result as HandlerResult, verbContext())

t.test('a handler may return several kinds of values', async (t) => {
  const say = { verb: 'say', text: 'Hello' }

  t.test('an array of verbs, in both spellings', async (t) => {
    t.strictSame(prepare([say, { say: { text: 'Hello' } }, { hangup: {} }]).verbs, [
      say,
      say,
      { verb: 'hangup' }
    ])
  })

  t.test('a single verb, in both spellings', async (t) => {
    t.strictSame(prepare(say).verbs, [say])
    t.strictSame(prepare({ 'sip:decline': { status: 603 } }).verbs, [{ verb: 'sip:decline', status: 603 }])
  })

  t.test('a WebhookResponse of @jambonz/sdk', async (t) => {
    const response = new WebhookResponse()
      .say({ text: 'Hello' })
      .listen({ url: '/audio', actionHook: '/done' })
      .hangup()
    const { verbs, listens } = prepare(response)
    t.match(verbs, [
      say,
      { verb: 'listen', url: '/audio/listen-0.signature', actionHook: '/done?listen=listen-0' },
      { verb: 'hangup' }
    ])
    t.equal(listens.length, 1)
  })

  t.test('undefined, null or an empty array', async (t) => {
    for (const nothing of [undefined, null, []]) t.strictSame(prepare(nothing), { verbs: [], listens: [] })
  })

  t.test('the result is serialized as JSON: undefined is left out, and toJSON() is called', async (t) => {
    const { verbs } = prepare([{ verb: 'tag', id: undefined, data: { at: new Date(0), nothing: undefined } }])
    t.strictSame(verbs, [{ verb: 'tag', data: { at: '1970-01-01T00:00:00.000Z' } }])
  })

  t.test('the result is copied; the original is not changed', async (t) => {
    const metadata = { customer: { id: 5 } }
    const frozen = Object.freeze([Object.freeze({ verb: 'listen', metadata, timeout: 3, finishOnKey: '*#' })])
    const { listens } = prepare(frozen)
    metadata.customer.id = 6
    t.strictSame(listens[0]?.metadata, { customer: { id: 5 } })
  })

  t.test('any other value is refused', async (t) => {
    t.throws(refused('Hello'), {
      code: 'FST_JAMBONZ_VERB_INVALID',
      statusCode: 500,
      message: /the handler returned "Hello": return an array of verbs/
    })
    t.throws(refused(5), { message: /the handler returned 5/ })
    t.throws(
      refused(() => {}),
      { message: /the handler returned a function: return/ }
    )
    t.throws(refused([say, 'hangup']), { message: /\[1\] is "hangup": a verb is an object/ })
    t.throws(refused([null]), { message: /\[0\] is null: a verb is an object/ })
    const helper = async () => [say]
    t.throws(refused([say, helper()]), {
      message: /: \[1\] of what the handler returned is a promise: await /
    })
    t.throws(refused(helper()), { message: /: what the handler returned is a promise: await the function/ })
    t.throws(refused([[say], say]), {
      message: /\[0\] is \[.*\]: it is an array inside the array .*\[\.\.\.verbs, /
    })
    t.throws(refused([[say]]), { message: /\[0\] is \[\{"verb":"say"/ })
    t.throws(refused([{}]), { message: /\[0\] is \{\}: name the verb/ })
    t.throws(refused([{ verb: 5 }]), { message: /\[0\]\.verb is 5: must be the name of a verb/ })
    t.throws(refused([{ say: { text: 'a' }, hangup: {} }]), { message: /name the verb, as/ })
    t.throws(refused([{ text: 'x' }]), {
      message: /\[0\] is \{"text":"x"\}: it has no verb: name the verb, as/
    })
    t.throws(refused({ loop: 2 }), { message: /\[0\] is \{"loop":2\}: it has no verb/ })
    for (const name of ['verbs', 'application']) {
      t.throws(refused({ [name]: [{ verb: 'hangup' }] }), {
        message: new RegExp(`: return the array of verbs itself, not an object with the property ${name}`)
      })
    }
    t.throws(refused([{ say: 'Hello' }]), {
      message: /say is "Hello": must be an object with the properties/
    })
    t.throws(refused([{ listen: '/audio' }]), { message: /listen is "\/audio": must be an object/ })
    for (const endless of [Infinity, NaN]) {
      t.throws(refused([{ verb: 'listen', maxLength: endless }]), {
        message: /maxLength is null: must be .*\(JSON writes NaN and Infinity as null\)/
      })
    }
    t.throws(refused([{ say: 'Hello' }]), { message: /\[0\] say is "Hello": must be an object/ })
    t.throws(refused([{ verb: 'tag', data: { big: 1n } }]), { message: /can't be JSON: .*BigInt/ })
    const circular: Record<string, unknown> = { verb: 'tag' }
    circular.data = circular
    t.throws(refused(circular), { message: /can't be JSON: .*circular/i })
  })
})

t.test('each of several listens in one answer has its own id, in order', async (t) => {
  const { verbs, listens } = prepare([
    { verb: 'config', listen: { enable: true } },
    { verb: 'listen', maxLength: 5 },
    { verb: 'dial', target, stream: { mixType: 'stereo' } }
  ])
  t.match(listens, [
    { id: 'listen-0', nested: 'config' },
    { id: 'listen-1', nested: undefined, maxLength: 5 },
    { id: 'listen-2', nested: 'dial', channels: 2 }
  ])
  t.match(verbs, [
    { listen: { url: '/audio/listen-0.signature' } },
    { url: '/audio/listen-1.signature' },
    { stream: { url: '/audio/listen-2.signature' } }
  ])
})

t.test('verbs without wsAuth get the Basic credentials', async (t) => {
  const { verbs } = prepare(
    [{ verb: 'listen' }, { verb: 'listen', wsAuth: { username: 'own', password: 'secret' } }],
    { auth: { username: 'jambonz', password: 'hunter2' } }
  )
  t.match(verbs, [
    { wsAuth: { username: 'jambonz', password: 'hunter2' } },
    { wsAuth: { username: 'own', password: 'secret' } }
  ])
})

t.test('if there is no built-in actionHook, a listen has only the actionHook of its verb', async (t) => {
  const { verbs } = prepare([{ verb: 'listen' }, { verb: 'listen', actionHook: '/done' }], {
    defaultActionHook: false
  })
  t.notOk('actionHook' in (verbs[0] ?? {}))
  t.match(verbs[1], { actionHook: '/done?listen=listen-1' })
})

t.test('listens whose audio goes to another server', async (t) => {
  const url = 'wss://recorder.example.com/calls'
  const auth = { username: 'jambonz', password: 'hunter2' }

  t.test('a listen to another server is sent unchanged, and no socket is expected', async (t) => {
    const verb = {
      verb: 'listen',
      url,
      actionHook: '/done',
      finishOnKey: '*#',
      timeout: 3,
      metadata: { callSid: 'mine' },
      bidirectionalAudio: { streaming: true }
    }
    t.strictSame(prepare([verb], { auth }), { verbs: [verb], listens: [] })
  })

  t.test('nested listens to another server are sent unchanged', async (t) => {
    const verbs = [
      { verb: 'dial', target, listen: { url } },
      { verb: 'config', listen: { url, enable: true } }
    ]
    t.strictSame(prepare(verbs, { auth }), { verbs, listens: [] })
  })

  t.test('a listen to another server is refused if jambonz could not run the listen', async (t) => {
    t.throws(refused([{ verb: 'listen', url, metadata: { text: 'x'.repeat(5_000) } }]), {
      message: /metadata is 5011 bytes/
    })
    t.throws(refused([{ verb: 'listen', url, wsAuth: { username: 'a:b', password: 'c' } }]), {
      code: 'FST_JAMBONZ_CREDENTIALS',
      message: /^\[0\] listen\.wsAuth: username has a colon/
    })
    t.throws(refused([{ verb: 'listen', url, mixType: 'both' }]), { message: /mixType is "both"/ })
  })
})

t.test('a signed url that is too long for the media server is refused', async (t) => {
  const audioUrl = () => ({ path: '/audio', url: `/audio/${'x'.repeat(400)}` })
  t.throws(() => prepare([{ verb: 'listen' }], { audioUrl }), {
    code: 'FST_JAMBONZ_VERB_INVALID',
    message: /at 407 characters it could crash/
  })
})

t.test('listens that are nested in config', async (t) => {
  t.test(
    'config.listen is sent with enable: true, without the properties that jambonz refuses in a config',
    async (t) => {
      const { verbs, listens } = prepare([
        {
          verb: 'config',
          listen: { mixType: 'stereo', sampleRate: 16_000, maxLength: 60, playBeep: true, metadata: { a: 1 } }
        }
      ])
      t.strictSame(verbs, [
        {
          verb: 'config',
          listen: {
            mixType: 'stereo',
            sampleRate: 16_000,
            maxLength: 60,
            playBeep: true,
            bidirectionalAudio: { enabled: false },
            url: '/audio/listen-0.signature',
            metadata: { jambonzListenId: 'listen-0', a: 1 },
            enable: true
          }
        }
      ])
      t.match(listens, [{ nested: 'config', channels: 2, callSid: CALL.callSid }])
    }
  )

  t.test('config.listen has finishOnKey, which the plugin handles even for a single key', async (t) => {
    const { verbs, listens } = prepare([{ config: { listen: { finishOnKey: '#' } } }])
    t.match(verbs, [{ listen: { passDtmf: true } }])
    t.notOk('finishOnKey' in (verbs[0] as { listen: object }).listen)
    t.equal(listens[0]?.finishOnKey, '#')
  })

  t.test('config.listen can have timeout and streaming', async (t) => {
    const { verbs } = prepare([
      { verb: 'config', listen: { timeout: 5, bidirectionalAudio: { streaming: true } } }
    ])
    t.match(verbs, [
      { listen: { timeout: 5, passDtmf: true, bidirectionalAudio: { streaming: true, sampleRate: 8_000 } } }
    ])
  })

  t.test('enable: false is sent unchanged', async (t) => {
    t.strictSame(prepare([{ verb: 'config', listen: { enable: false } }]), {
      verbs: [{ verb: 'config', listen: { enable: false } }],
      listens: []
    })
  })

  t.test('the property verb, which jambonz refuses in config.listen, is removed', async (t) => {
    t.notOk(
      'verb' in
        (
          prepare([{ verb: 'config', listen: { verb: 'listen', enable: true } }]).verbs[0] as {
            listen: object
          }
        ).listen
    )
    t.notOk(
      'verb' in
        (prepare([{ verb: 'dial', target, stream: { verb: 'stream' } }]).verbs[0] as { stream: object })
          .stream
    )
  })

  for (const property of ['actionHook', 'transcribe', 'earlyMedia', 'channel', 'auth', 'id']) {
    t.test(`config.listen with ${property} is an error`, async (t) => {
      t.throws(refused([{ verb: 'config', listen: { [property]: '/x' } }]), {
        message: new RegExp(`\\[0\\] config\\.listen\\.${property}: jambonz refuses this property in config`)
      })
    })
  }

  t.test('config.listen is checked like other listens', async (t) => {
    t.throws(refused([{ verb: 'config', listen: { mixType: 'both' } }]), {
      message: /config\.listen\.mixType is "both"/
    })
    t.throws(refused([{ verb: 'config', listen: { enable: 'yes' } }]), {
      message: /config\.listen\.enable is "yes": must be boolean/
    })
    t.throws(refused([{ verb: 'config', listen: { maxlength: 5 } }]), {
      message: /did you mean "maxLength"\?/
    })
  })

  t.test('config.stream is an error, because jambonz ignores it', async (t) => {
    t.throws(refused([{ verb: 'config', stream: { enable: true } }]), {
      message: /\[0\] config\.stream: jambonz ignores it: say listen instead/
    })
  })
})

t.test('a dial with two listens is refused', async (t) => {
  t.throws(refused([{ verb: 'dial', target, listen: {}, stream: {} }]), { message: /both listen and stream/ })
  t.strictSame(prepare([{ verb: 'dial', target }]).listens, [])
})
