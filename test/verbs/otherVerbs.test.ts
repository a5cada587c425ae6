import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { prepareVerbs, type HandlerResult } from '../../lib/verbs/index.js'
import { loadJambonzSchemas } from '../../lib/verbs/jambonzSchemas.js'
import { acceptedByJambonz, verbContext } from '../helpers/verbContext.js'
import { builtInSchemas, verbTypes } from '../helpers/verbTypes.js'

const prepare = (result: unknown) => prepareVerbs(result as HandlerResult, verbContext())
const refused = (result: unknown) => () => prepare(result)

const target = [
  {
    type: 'sip',
    sipUri: 'sip:alice@example.com',
    auth: { username: 'a', password: 'b' },
    headers: { 'X-A': 'b' }
  }
]
const synthesizer = { vendor: 'elevenlabs', voice: 'Rachel', options: { stability: 0.5 } }
const recognizer = {
  vendor: 'deepgram',
  language: 'en-US',
  hints: ['jambonz'],
  deepgramOptions: { model: 'nova-2', endpointing: 500 }
}

/** verbs that must be sent to jambonz unchanged */
const VERBS: object[] = [
  { verb: 'answer' },
  { verb: 'alert', message: 'info=alert-internal' },
  { verb: 'say', text: ['Hello', 'Hi'], synthesizer, loop: 'forever' },
  {
    verb: 'play',
    url: ['https://example.com/a.wav'],
    timeoutSecs: 5,
    actionHook: { url: '/played', method: 'POST' }
  },
  {
    verb: 'gather',
    input: ['speech', 'digits'],
    numDigits: 4,
    actionHook: '/digits',
    recognizer,
    say: { text: 'Your pin?', synthesizer },
    play: { url: '/a.wav' }
  },
  {
    verb: 'dial',
    target,
    actionHook: '/dialled',
    answerOnBridge: true,
    headers: { 'X-B': 'c' },
    transcribe: { transcriptionHook: '/t', recognizer },
    amd: { actionHook: '/amd' }
  },
  {
    verb: 'config',
    synthesizer,
    recognizer,
    bargeIn: { enable: true, input: ['speech'], actionHook: '/bargeIn' },
    fillerNoise: { enable: true, url: '/typing.wav' },
    vad: { enable: true, mode: 2 }
  },
  {
    verb: 'config',
    transcribe: { enable: true, transcriptionHook: '/t', recognizer },
    record: { action: 'startCallRecording' },
    ttsStream: { enable: false },
    reset: ['synthesizer']
  },
  { verb: 'conference', name: 'room', joinMuted: true, waitHook: '/wait', statusEvents: ['join'] },
  { verb: 'transcribe', transcriptionHook: '/t', recognizer },
  { verb: 'enqueue', name: 'support', priority: 1, waitHook: '/wait' },
  { verb: 'dequeue', name: 'support', beep: true },
  { verb: 'dtmf', dtmf: '1w2', duration: 250 },
  { verb: 'dub', action: 'addTrack', track: 'music', play: 'https://example.com/a.mp3', gain: '-10dB' },
  { verb: 'hangup', headers: { 'X-Reason': 'done' } },
  { verb: 'leave' },
  { verb: 'message', to: '+15085551212', from: '+15085551313', text: 'Hello' },
  { verb: 'pause', length: 1.5 },
  { verb: 'redirect', actionHook: '/next' },
  { verb: 'tag', data: { any: { thing: [1] } } },
  { verb: 'sip:decline', status: 480, reason: 'Gone' },
  { verb: 'sip:request', method: 'INFO', body: 'x', headers: { 'Content-Type': 'text/plain' } },
  { verb: 'sip:refer', referTo: '+15085551212', actionHook: '/referred' },
  {
    verb: 'llm',
    vendor: 'openai',
    model: 'gpt-4o-realtime',
    auth: { apiKey: 'x' },
    llmOptions: { messages: [] },
    toolHook: '/tool',
    mcpServers: [{ url: 'https://example.com/mcp' }]
  },
  { verb: 's2s', vendor: 'openai', llmOptions: {} },
  { verb: 'openai_s2s', model: 'gpt-4o', llmOptions: {}, actionHook: '/ended' },
  { verb: 'google_s2s', llmOptions: {} },
  { verb: 'ultravox_s2s', llmOptions: {} },
  {
    verb: 'dialogflow',
    project: 'p',
    credentials: '{}',
    lang: 'en-US',
    tts: synthesizer,
    queryInput: { event: 'welcome' }
  }
]

t.test('all verbs of jambonz are accepted and sent unchanged', async (t) => {
  for (const verb of VERBS) {
    t.test(JSON.stringify(verb).slice(0, 60), async (t) => {
      t.strictSame(prepare([verb]), { verbs: [verb], listens: [] })
      t.doesNotThrow(() => acceptedByJambonz([verb]))
    })
  }
})

t.test("a verb that only one of jambonz' two validators knows is accepted", async (t) => {
  const verbs = [
    { verb: 'room', name: 'a' },
    { verb: 'microsoft_s2s', llmOptions: {} },
    { verb: 'voiceagent_s2s', llmOptions: {} },
    { verb: 'qwen_s2s', llmOptions: {} },
    { verb: 'lex', botId: 'a', botAlias: 'b', region: 'us-east-1', credentials: {} },
    { verb: 'rasa', url: 'https://example.com' },
    { verb: 'agent', llm: { vendor: 'openai', llmOptions: { systemPrompt: 'Be brief' } } },
    { verb: 'dial', target: [{ type: 'phone', number: '1', confirmHook: '/screen' }] },
    { verb: 'gather', recognizer: { vendor: 'nuance', nuanceOptions: { topic: 'x' } } },
    { verb: 'enqueue', name: 'a', _: {} },
    { verb: 'transfer', mode: 'warm', target, disposition: { onBusy: 'return' }, brief: { text: 'A caller' } }
  ]
  t.strictSame(prepare(verbs).verbs, verbs)
})

t.test('every example of @jambonz/schema is accepted', async (t) => {
  const { verbs } = loadJambonzSchemas()
  for (const [name, schema] of verbs) {
    const { examples = [] } = schema as { examples?: object[] }
    for (const example of examples) {
      t.doesNotThrow(
        refused([name === 'listen' || name === 'stream' ? { ...example, url: '/audio' } : example]),
        name
      )
    }
  }
})

t.test(
  'an invalid verb causes an error that names verb, property, value and the allowed values',
  async (t) => {
    const rows: Array<[object, RegExp]> = [
      [
        { verb: 'sey', text: 'x' },
        /^invalid verb: \[0\] sey: jambonz knows no such verb: did you mean "say"\?$/
      ],
      [{ verb: 'record' }, /record: jambonz knows no such verb$/],
      [
        { verb: 'config', bargeIn: { enable: true, minBargeInWordCount: 2 } },
        /config\.bargeIn\.minBargeInWordCount: .*did you mean "minBargeinWordCount"\?/
      ],
      [{ verb: 'config', bargeIn: { enable: true, numDigits: '4' } }, /bargeIn\.numDigits is "4"/],
      [
        { verb: 'dial', target: [{ type: 'phone', number: '1', from: { name: 'x' } }] },
        /target\[0\]\.from\.name: jambonz knows no such property/
      ],
      [{ verb: 'constructor' }, /constructor: jambonz knows no such verb/],
      [{ verb: 'say', text: 5 }, /^invalid verb: \[0\] say\.text is 5: must be string or array$/],
      [
        { verb: 'say', txet: 'x' },
        /say\.txet: jambonz knows no such property, and refuses the whole application over it: did you mean "text"\?/
      ],
      [{ verb: 'say', early_media: true }, /did you mean "earlyMedia"\?/],
      [{ verb: 'pause' }, /\[0\] pause\.length is missing$/],
      [{ verb: 'pause', length: '1' }, /pause\.length is "1": must be number/],
      [{ verb: 'dial' }, /\[0\] dial\.target is missing/],
      [{ verb: 'dial', target: [] }, /dial\.target is \[\]: must NOT have fewer than 1 items/],
      [
        { verb: 'dial', target: [{ type: 'phone' }, { type: 'fone' }] },
        /dial\.target\[1\]\.type is "fone": use one of "phone", "sip", "user", "teams"/
      ],
      [
        { verb: 'dial', target: [{ type: 'phone', nummer: '1' }] },
        /dial\.target\[0\]\.nummer: .*did you mean "number"\?/
      ],
      [{ verb: 'gather', say: { txt: 'x' } }, /gather\.say\.txt: .*did you mean "text"\?/],
      [
        { verb: 'gather', say: { verb: 'say', text: 'x' } },
        /gather\.say\.verb: jambonz knows no such property/
      ],
      [
        { verb: 'gather', recognizer: { vendor: 'deepgram', deepgramOptions: { modell: 'x' } } },
        /recognizer\.deepgramOptions\.modell: .*did you mean "model"\?/
      ],
      [{ verb: 'gather', actionHook: { url: 5 } }, /gather\.actionHook\.url is 5: must be string/],
      [{ verb: 'config', bargeIn: { input: ['speech'] } }, /config\.bargeIn\.enable is missing/],
      [{ verb: 'config', transcribe: { transcriptionHook: '/t' } }, /config\.transcribe\.enable is missing/],
      [{ verb: 'openai_s2s' }, /openai_s2s\.llmOptions is missing/],
      [
        { verb: 'openai_s2s', llmOptions: {}, toolhook: '/t' },
        /openai_s2s\.toolhook: .*did you mean "toolHook"\?/
      ],
      [
        { verb: 'openai_s2s', vendor: 'google', llmOptions: {} },
        /openai_s2s\.vendor is "google": use "openai"/
      ],
      [{ verb: 'room', nme: 'x' }, /room\.name is missing|room\.nme: .*did you mean "name"\?/],
      [{ verb: 'transfer', mode: 'cold', target }, /transfer\.mode is "cold": use one of "blind", "warm"/],
      [
        { verb: 'transfer', mode: 'warm', taget: target },
        /transfer\.target is missing|transfer\.taget: .*did you mean "target"\?/
      ],
      [
        { verb: 'transfer', mode: 'warm', target, disposition: { onBusy: 'voicemail' } },
        /transfer\.disposition\.voicemailUrl is missing/
      ],
      [
        { verb: 'llm', vendor: 'x', llmOptions: {}, handoff: { mode: 'warm' } },
        /llm\.handoff\.target is missing/
      ],
      [
        { verb: 'gptlive_s2s', auth: { apiKey: 'x' }, llmOptions: { session_update: { model: 'x' } } },
        /gptlive_s2s\.llmOptions\.session_update\.model is "x": must NOT be valid \(Not allowed/
      ],
      [
        { verb: 'agent', llm: { vendor: 'openai', connectOptions: { timeout: -1 }, llmOptions: {} } },
        /agent\.llm\.connectOptions\.timeout is -1: must be >= 0$/
      ],
      [{ verb: 'sip:decline', status: 'busy' }, /sip:decline\.status is "busy": must be number/],
      [
        { verb: 'dialogflow', project: 'p', credentials: '{}', lang: 'en', sessionId: 'a b' },
        /sessionId is "a b": must match pattern/
      ],
      [
        { verb: 'conference', name: 'a', listen: { mixType: 'mixed' } },
        /conference\.listen: jambonz 0\.9 never starts it/
      ],
      [
        { verb: 'dtmf', dtmf: `${'1'.repeat(200)}`, duration: 'long'.repeat(50) },
        /dtmf\.duration is "(?:long)+l?o?n?…: must be number/
      ]
    ]
    for (const [verb, message] of rows) {
      t.test(JSON.stringify(verb).slice(0, 60), async (t) => {
        t.throws(refused(verb), { code: 'FST_JAMBONZ_VERB_INVALID', statusCode: 500, message })
      })
    }

    t.test('an error names the index of the verb in the answer', async (t) => {
      t.throws(refused([{ verb: 'answer' }, { verb: 'dial', target, listen: { sampleRate: 11_025 } }]), {
        message: /\[1\] dial\.listen\.sampleRate is 11025/
      })
    })

    t.test('an error hides credentials', async (t) => {
      const secrets = [
        { verb: 'llm', vendor: 'openai', auth: { apiKey: ['hunter2'] }, llmOptions: {} },
        { verb: 'dial', target: [{ type: 'sip', auth: { username: 'a', password: ['hunter2'] } }] },
        { verb: 'dial', target: { type: 'sip', auth: { password: 'hunter2' } } },
        { verb: 'play', url: { at: 'https://me:hunter2@example.com/a.wav' } }
      ]
      for (const verb of secrets) {
        try {
          prepare(verb)
          t.fail('the verb was accepted')
        } catch (error) {
          t.notMatch(String(error), /hunter2/)
        }
      }
    })
  }
)

t.test('no schemas are compiled when verbs are checked at run time', async (t) => {
  const verbs = JSON.stringify(new URL('../../lib/verbs/validate.js', import.meta.url))
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      '--disallow-code-generation-from-strings',
      '--input-type=module',
      '--eval',
      `const { checkVerb } = await import(${verbs})
      checkVerb('say', { text: 'Hello' }, 'say')
      try { checkVerb('say', { txt: 'Hello' }, 'say') } catch ({ message }) { console.log(message) }`
    ],
    { encoding: 'utf8' }
  )
  t.match(stdout, /say\.txt: jambonz knows no such property/, stderr)
})

t.test(
  'the types of the verbs match the installed @jambonz/schema; if not, run `npm run types:verbs`',
  async (t) => {
    t.equal(readFileSync('lib/verbs/jambonzVerbs.ts', 'utf8'), verbTypes())
    t.equal(readFileSync('lib/verbs/publishedSchemas.ts', 'utf8'), builtInSchemas())
  }
)

t.test(
  'the hooks of a redirect are sent as urls, since jambonz 0.9 ends the call over an object',
  async (t) => {
    const redirect = (actionHook: object, platform: '0.9' | '11' = '0.9') =>
      prepareVerbs([{ verb: 'redirect', actionHook }] as never, verbContext({ platform })).verbs
    t.strictSame(redirect({ url: '/next', method: 'post', basicAuth: { username: 'u', password: 'p' } }), [
      { verb: 'redirect', actionHook: '/next' }
    ])
    t.throws(() => redirect({ url: '/next', method: 'GET' }), {
      code: 'FST_JAMBONZ_VERB_INVALID',
      message: /\[0\] redirect\.actionHook\.method is GET/
    })
    t.strictSame(redirect({ url: '/next', method: 'GET' }, '11'), [
      { verb: 'redirect', actionHook: { url: '/next', method: 'GET' } }
    ])
  }
)
