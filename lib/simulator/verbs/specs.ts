import { SIM_APPLICATION } from '../errors.js'

/**
 * Types of properties as in @jambonz/verb-specifications: `object|string`, `#auth` (a spec of its own), `[#target]`.
 */
type Spec = Record<string, string>

const LISTEN: Spec = {
  id: 'string',
  actionHook: 'object|string',
  auth: '#auth',
  finishOnKey: 'string',
  maxLength: 'number',
  metadata: 'object',
  mixType: '=mono|stereo|mixed',
  passDtmf: 'boolean',
  playBeep: 'boolean',
  disableBidirectionalAudio: 'boolean',
  bidirectionalAudio: '#bidirectionalAudio',
  sampleRate: 'number',
  timeout: 'number',
  transcribe: '#transcribe',
  url: 'string!',
  wsAuth: '#auth',
  earlyMedia: 'boolean',
  channel: 'number'
}

/** The specifications of the simulated verbs. Of other verbs the simulator checks only the name. */
export const SPECS: Record<string, Spec> = {
  listen: LISTEN,
  stream: LISTEN,
  // In config: without id, keys and hook.
  listenOptions: {
    enable: 'boolean!',
    url: 'string',
    sampleRate: 'number',
    wsAuth: '#auth',
    mixType: '=mono|stereo|mixed',
    metadata: 'object',
    maxLength: 'number',
    passDtmf: 'boolean',
    playBeep: 'boolean',
    disableBidirectionalAudio: 'boolean',
    bidirectionalAudio: '#bidirectionalAudio',
    timeout: 'number'
  },
  auth: { username: 'string!', password: 'string!' },
  bidirectionalAudio: { enabled: 'boolean', streaming: 'boolean', sampleRate: 'number' },
  say: {
    id: 'string',
    text: 'string|array',
    instructions: 'string',
    stream: 'boolean',
    loop: 'number|string',
    synthesizer: 'object',
    earlyMedia: 'boolean',
    disableTtsCache: 'boolean',
    closeStreamOnEmpty: 'boolean'
  },
  play: {
    id: 'string',
    url: 'string|array!',
    loop: 'number|string',
    earlyMedia: 'boolean',
    seekOffset: 'number|string',
    timeoutSecs: 'number|string',
    actionHook: 'object|string'
  },
  pause: { id: 'string', length: 'number!' },
  hangup: { id: 'string', headers: 'object' },
  redirect: { id: 'string', actionHook: 'object|string!', statusHook: 'object|string' },
  tag: { id: 'string', data: 'object!' },
  answer: { id: 'string' },
  transcribe: {
    id: 'string',
    transcriptionHook: 'string',
    translationHook: 'string',
    recognizer: 'object',
    earlyMedia: 'boolean',
    channel: 'number'
  },
  gather: {
    id: 'string',
    actionHook: 'object|string',
    finishOnKey: 'string',
    input: 'array',
    numDigits: 'number',
    minDigits: 'number',
    maxDigits: 'number',
    interDigitTimeout: 'number',
    partialResultHook: 'object|string',
    speechTimeout: 'number',
    listenDuringPrompt: 'boolean',
    dtmfBargein: 'boolean',
    bargein: 'boolean',
    minBargeinWordCount: 'number',
    timeout: 'number',
    recognizer: 'object',
    play: '#play',
    say: '#say',
    fillerNoise: 'object',
    actionHookDelayAction: 'object'
  },
  dial: {
    id: 'string',
    actionHook: 'object|string',
    onHoldHook: 'object|string',
    answerOnBridge: 'boolean',
    callerId: 'string',
    callerName: 'string',
    confirmHook: 'object|string',
    referHook: 'object|string',
    dialMusic: 'string',
    dtmfCapture: 'object',
    dtmfHook: 'object|string',
    headers: 'object',
    anchorMedia: 'boolean',
    exitMediaPath: 'boolean',
    boostAudioSignal: 'number|string',
    listen: '#listen',
    stream: '#stream',
    target: '[#target]!',
    timeLimit: 'number',
    timeout: 'number',
    proxy: 'string',
    transcribe: '#transcribe',
    amd: 'object',
    dub: 'array',
    tag: 'object',
    forwardPAI: 'boolean',
    srtpEncryption: '=sdes|dtls'
  },
  target: {
    type: '=phone|sip|user|teams!',
    confirmHook: 'object|string',
    method: '=GET|POST',
    headers: 'object',
    from: 'object',
    name: 'string',
    number: 'string',
    sipUri: 'string',
    auth: '#auth',
    vmail: 'boolean',
    tenant: 'string',
    trunk: 'string',
    overrideTo: 'string',
    proxy: 'string'
  },
  config: {
    id: 'string',
    synthesizer: 'object',
    recognizer: 'object',
    bargeIn: 'object',
    ttsStream: 'object',
    record: 'object',
    listen: '#listenOptions',
    stream: '#listenOptions',
    transcribe: 'object',
    amd: 'object',
    fillerNoise: 'object',
    notifyEvents: 'boolean',
    notifySttLatency: 'boolean',
    reset: 'string|array',
    onHoldMusic: 'string',
    actionHookDelayAction: 'object',
    sipRequestWithinDialogHook: 'object|string',
    boostAudioSignal: 'number|string',
    vad: 'object',
    referHook: 'object|string',
    earlyMedia: 'boolean',
    autoStreamTts: 'boolean',
    disableTtsCache: 'boolean',
    trackTtsPlayout: 'boolean',
    noiseIsolation: 'object',
    turnTaking: 'object'
  }
}

/** Verbs of jambonz that the simulator only records. */
const OTHERS = new Set([
  'alert',
  'sip:decline',
  'sip:request',
  'sip:refer',
  'dub',
  'dequeue',
  'enqueue',
  'leave',
  'conference',
  'dialogflow',
  'dtmf',
  'lex',
  'llm',
  'message',
  'pipeline',
  'rasa',
  'record',
  's2s',
  'openai_s2s',
  'microsoft_s2s',
  'google_s2s',
  'elevenlabs_s2s',
  'deepgram_s2s',
  'voiceagent_s2s',
  'ultravox_s2s'
])

/** Options by which the check accepts more than the published specifications do. */
export interface Leniency {
  configListenHook: boolean
  platform: '0.9' | '11'
}

/** Throws FST_JAMBONZ_SIM_APPLICATION for an unknown verb or property, a wrong type or a missing property. */
export function checkVerb(verb: string, data: Record<string, unknown>, leniency: Leniency): void {
  if (
    verb === 'config' &&
    leniency.configListenHook &&
    typeof data.listen === 'object' &&
    data.listen !== null
  ) {
    const { actionHook, ...listen } = data.listen as Record<string, unknown>
    return checkVerb(verb, { ...data, listen }, { ...leniency, configListenHook: false })
  }
  const known = leniency.platform === '0.9'
  if (SPECS[verb] !== undefined) checkObject(verb, verb, data, known)
  else if (known && !OTHERS.has(verb)) throw new SIM_APPLICATION(`unknown verb '${verb}'`)
}

function checkObject(path: string, name: string, data: Record<string, unknown>, known: boolean): void {
  const spec = SPECS[name]!
  for (const [key, value] of Object.entries(data)) {
    const type = Object.hasOwn(spec, key) ? spec[key] : undefined
    if (type !== undefined) checkValue(`${path}.${key}`, type.replace(/!$/, ''), value, known)
    else if (known) throw new SIM_APPLICATION(`${path} has the unknown property '${key}'`)
  }
  for (const [key, type] of Object.entries(spec)) {
    if (type.endsWith('!') && !Object.hasOwn(data, key)) {
      throw new SIM_APPLICATION(`${path} lacks the required property '${key}'`)
    }
  }
}

function checkValue(path: string, type: string, value: unknown, known: boolean): void {
  if (type.startsWith('[#')) {
    if (!Array.isArray(value)) throw new SIM_APPLICATION(`${path} must be an array`)
    return value.forEach((item, index) => checkValue(`${path}[${index}]`, type.slice(1, -1), item, known))
  }
  if (type.startsWith('=')) {
    if (
      !type
        .slice(1)
        .split('|')
        .includes(value as string)
    ) {
      throw new SIM_APPLICATION(`${path} is ${JSON.stringify(value)}, must be one of ${type.slice(1)}`)
    }
    return
  }
  if (type.startsWith('#')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new SIM_APPLICATION(`${path} must be an object`)
    }
    return checkObject(path, type.slice(1), value as Record<string, unknown>, known)
  }
  const kind = Array.isArray(value) ? 'array' : typeof value
  if (!type.split('|').includes(kind)) {
    throw new SIM_APPLICATION(`${path} is ${JSON.stringify(value)} (${kind}), must be ${type}`)
  }
}
