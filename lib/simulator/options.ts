import { randomBytes, randomUUID } from 'node:crypto'
import { Server } from 'node:http'
import { Server as TlsServer } from 'node:https'
import { speechLike } from './audio/generate.js'
import { loadSpeech } from './audio/load.js'
import { checkCallOptions } from './checkCall.js'
import { SIM_OPTIONS } from './errors.js'
import type { Faults } from './faults.js'
import { InProcessNetwork, TcpNetwork, targetOf, type Network } from './network.js'
import { parsePress, type KeyPress } from './session/press.js'
import type { AppLike, BLeg, SimulateCallOptions, SimulatorEvent, Transcript } from './types.js'

const DEFAULT_PUBLIC_URL = 'http://127.0.0.1'
const DEFAULT_SPEECH_SECONDS = 3
const DEFAULT_PATIENCE_MS = 2_000
const DEFAULT_KEEP_BYTES = 32 * 1024 * 1024
const HTTP_TIMEOUT_MS = 10_000
const ACK_TIMEOUT_MS = 5_000
const DEADLINE_MS = 60_000
const REAL_TIME_DEADLINE_MS = 600_000

/** The options with their defaults. */
export interface ResolvedOptions {
  network: Network
  ready: () => Promise<void>
  url: string
  webhookMethod: 'POST' | 'GET'
  statusHook: string | undefined
  call: {
    direction: 'inbound' | 'outbound'
    callSid: string
    accountSid: string
    applicationSid: string
    from: string
    to: string
    callerName: string | undefined
  }
  secret: string
  credentials: { username: string; password: string } | undefined
  env: Record<string, unknown> | undefined
  speech: Int16Array
  speakAt: 'listen' | 'answer'
  presses: KeyPress[]
  transcripts: Transcript[]
  hangUpAfterMs: number | undefined
  patienceMs: number
  bLeg: BLeg
  recordAllCalls: SimulateCallOptions['recordAllCalls']
  configListenHook: boolean
  platform: '0.9' | '11'
  members: number
  outsideListen: SimulateCallOptions['outsideListen']
  includeStream: boolean
  callRate: number
  speed: number
  faults: Faults
  httpTimeoutMs: number
  ackTimeoutMs: number
  deadlineMs: number
  signal: AbortSignal | undefined
  keepAudio: number
  onEvent: ((event: SimulatorEvent) => void) | undefined
}

/** Checks the options and adds the defaults. Throws FST_JAMBONZ_SIM_OPTIONS or FST_JAMBONZ_SIM_AUDIO. */
export function resolveOptions(options: SimulateCallOptions): ResolvedOptions {
  checkCallOptions(options)
  const { url, network, ready } = resolveTarget(options)
  const speed = options.speed ?? Infinity
  if (!(speed > 0)) {
    throw new SIM_OPTIONS(
      `speed ${String(speed)} must be above 0: 1 is real time, Infinity as fast as possible`
    )
  }
  const callRate = options.callRate ?? 8_000
  if (!Number.isInteger(callRate) || callRate % 8_000 !== 0 || callRate <= 0) {
    throw new SIM_OPTIONS(`callRate ${String(callRate)} must be a multiple of 8000 Hz`)
  }
  return Object.freeze<ResolvedOptions>({
    network,
    ready,
    url,
    webhookMethod: options.webhookMethod ?? 'POST',
    statusHook: resolveStatusHook(options.statusHook, url),
    call: {
      direction: options.direction ?? 'inbound',
      callSid: options.callSid ?? randomUUID(),
      accountSid: options.accountSid ?? randomUUID(),
      applicationSid: options.applicationSid ?? randomUUID(),
      from: options.from ?? '15550100',
      to: options.to ?? '15550199',
      callerName: options.callerName
    },
    secret: options.webhookSecret ?? randomBytes(16).toString('hex'),
    credentials: options.webhookAuth,
    env: options.env,
    speech:
      options.speech === null ? new Int16Array(0) : loadSpeech(options.speech ?? defaultSpeech(), callRate),
    speakAt: options.speakAt ?? 'listen',
    presses: parsePress(options.press),
    transcripts: (options.transcripts ?? []).map((transcript) =>
      typeof transcript === 'string' ? { text: transcript } : transcript
    ),
    hangUpAfterMs: positive('hangUpAfterMs', options.hangUpAfterMs),
    patienceMs:
      positive('patienceMs', options.patienceMs) ??
      (options.hangUpAfterMs === undefined ? DEFAULT_PATIENCE_MS : Infinity),
    bLeg: calledParty(options.bLeg, callRate),
    recordAllCalls: options.recordAllCalls,
    configListenHook: options.configListenHook === true,
    platform: platformOf(options.platform),
    members: membersOf(options.members),
    outsideListen: options.outsideListen,
    includeStream: options.includeStream === true,
    callRate,
    speed,
    faults: options.faults ?? {},
    httpTimeoutMs: positive('httpTimeoutMs', options.httpTimeoutMs) ?? HTTP_TIMEOUT_MS,
    ackTimeoutMs: positive('ackTimeoutMs', options.ackTimeoutMs) ?? ACK_TIMEOUT_MS,
    deadlineMs:
      positive('timeoutMs', options.timeoutMs) ?? (speed < 10 ? REAL_TIME_DEADLINE_MS : DEADLINE_MS),
    signal: options.signal,
    keepAudio: options.keepAudio === false ? 0 : (options.keepAudio ?? DEFAULT_KEEP_BYTES),
    onEvent: options.onEvent
  })
}

// The called party's speech is loaded here, so that a missing file is an error of the options and not of the call.
function calledParty(party: BLeg = {}, callRate: number): BLeg {
  if (party.speech === undefined || party.speech === null) return party
  return { ...party, speech: { pcm: loadSpeech(party.speech, callRate), sampleRate: callRate } }
}

function membersOf(members: unknown = 1): number {
  if (typeof members === 'number' && Number.isInteger(members) && members >= 0) return members
  throw new SIM_OPTIONS(`members ${JSON.stringify(members)} must be a whole number, 0 or more`)
}

function platformOf(platform: unknown = '0.9'): '0.9' | '11' {
  if (platform === '0.9' || platform === '11') return platform
  throw new SIM_OPTIONS(`platform ${JSON.stringify(platform)} must be '0.9' or '11'`)
}

function defaultSpeech(): { pcm: Int16Array; sampleRate: number } {
  const { samples, sampleRate } = speechLike(DEFAULT_SPEECH_SECONDS, 8_000)
  return { pcm: samples, sampleRate }
}

function resolveTarget(options: SimulateCallOptions): {
  url: string
  network: Network
  ready: () => Promise<void>
} {
  const { app, hook } = options
  const tcp = new TcpNetwork(options.allowSelfSigned === true)
  if (app === undefined) {
    if (options.url === undefined) {
      throw new SIM_OPTIONS(
        'no application to call: set url (http://127.0.0.1:3000/voicemail or ws://…), or app and hook'
      )
    }
    return { url: applicationUrl(options.url), network: tcp, ready: () => Promise.resolve() }
  }
  if (options.url !== undefined) {
    throw new SIM_OPTIONS('app and url exclude each other: set app and hook (the path), or url')
  }
  const { transport = 'http' } = options
  if (transport !== 'http' && transport !== 'websocket') {
    throw new SIM_OPTIONS(`transport '${String(transport)}' must be 'http' or 'websocket'`)
  }
  if (typeof hook !== 'string' || !hook.startsWith('/')) {
    throw new SIM_OPTIONS('with app, hook must be the path of its call webhook and begin with a slash')
  }
  const server = isServer(app) ? app : (app as AppLike).server
  if (!isServer(server)) {
    throw new SIM_OPTIONS('app has no node:http server: set app to a Fastify instance or an http.Server')
  }
  const publicUrl = absolute(options.publicUrl ?? DEFAULT_PUBLIC_URL, undefined, 'publicUrl')
  const { origin } = new URL(publicUrl)
  const ready = async () => {
    await (app as AppLike).ready?.()
  }
  return {
    url: (transport === 'http' ? origin : origin.replace(/^http/, 'ws')) + hook,
    network: new InProcessNetwork(server, targetOf(new URL(publicUrl)), tcp),
    ready
  }
}

// An https.Server is not an instance of http.Server, but accepts connections in the same way.
function isServer(server: unknown): server is Server {
  return server instanceof Server || server instanceof TlsServer
}

// A url with http(s):// is a webhook, a url with ws(s):// is the application's websocket.
function applicationUrl(url: string): string {
  const scheme = /^wss?:/i.exec(url)
  if (scheme === null) return absolute(url, undefined, 'url')
  return absolute(url.replace(/^ws/i, 'http'), undefined, 'url').replace(/^http/, 'ws')
}

// If the application has a websocket, all status events use it, unless the status hook is an absolute http(s) url.
function resolveStatusHook(hook: string | undefined, url: string): string | undefined {
  return hook === undefined || url.startsWith('ws') ? hook : absolute(hook, url, 'statusHook')
}

function absolute(url: string, base: string | undefined, option: string): string {
  try {
    const parsed = new URL(url, base)
    if (parsed.protocol === 'http:' || parsed.protocol === 'https:') return parsed.href
  } catch {
    // The error below covers every wrong url.
  }
  throw new SIM_OPTIONS(
    `${option} '${url}' must be an absolute http:// or https:// url${option === 'url' ? ' (or ws://, wss://)' : ''}`
  )
}

function positive(option: string, value: number | undefined): number | undefined {
  if (value !== undefined && !(value >= 0)) {
    throw new SIM_OPTIONS(`${option} ${String(value)} must be a number of ms, 0 or more`)
  }
  return value
}
