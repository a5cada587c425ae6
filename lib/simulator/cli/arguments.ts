import { parseArgs } from 'node:util'
import { reasonOf } from '../errors.js'
import type { BLeg, SimulateCallOptions } from '../types.js'
import { UsageError } from './usage.js'
import { parseFaults, parseNumber, parsePair, parseTime, parseTimed } from './values.js'

const text = { type: 'string' } as const
const list = { type: 'string', multiple: true } as const
const flag = { type: 'boolean' } as const

const OPTIONS = {
  'audio': text,
  'say': text,
  'silent': flag,
  'press': list,
  'transcript': list,
  'hang-up-after': text,
  'patience': text,
  'called-audio': text,
  'called-silent': flag,
  'called-answer-after': text,
  'called-hang-up-after': text,
  'called-refuses': text,
  'called-absent': flag,
  'platform': text,
  'from': text,
  'to': text,
  'caller-name': text,
  'secret': text,
  'auth': text,
  'status-hook': text,
  'env': list,
  'get': flag,
  'insecure': flag,
  'outbound': flag,
  'call-sid': text,
  'account-sid': text,
  'application-sid': text,
  'fault': list,
  'speed': text,
  'calls': text,
  'rate': text,
  'timeout': text,
  'save-heard': text,
  'json': flag,
  'help': { type: 'boolean', short: 'h' },
  'version': { type: 'boolean', short: 'v' }
} as const

/** A parsed command line. */
export interface Command {
  /** true: prints the help, or the version, and makes no call */
  help: boolean
  version: boolean
  call: SimulateCallOptions
  /** Text that is to be synthesised. */
  say: string | undefined
  calls: number | undefined
  rate: number | undefined
  saveHeard: string | undefined
  json: boolean
}

/** Parses a command line. Throws a UsageError that names the option. */
export function parseCommand(argv: string[]): Command {
  const { values, positionals } = parse(argv)
  const [url, ...others] = positionals
  const isCall = values.help !== true && values.version !== true
  if (isCall && url === undefined) throw new UsageError('one url is needed, got 0')
  if (isCall && others.length > 0) {
    throw new UsageError(
      `one url is needed, got ${positionals.length}: ${positionals.join(', ')}; put a text with spaces in quotes`
    )
  }
  if ([values.audio, values.say, values.silent].filter((value) => value !== undefined).length > 1) {
    throw new UsageError('--audio, --say and --silent exclude each other')
  }
  const calls = values.calls === undefined ? undefined : parseNumber('--calls', values.calls)
  if (calls !== undefined && !Number.isInteger(calls)) {
    throw new UsageError(`--calls: '${values.calls}' must be a whole number`)
  }
  if (values.rate !== undefined && calls === undefined) throw new UsageError('--rate needs --calls')
  if (calls !== undefined && values['save-heard'] !== undefined) {
    throw new UsageError('--save-heard is for one call, not for --calls')
  }
  if (calls !== undefined && values['call-sid'] !== undefined) {
    throw new UsageError('--call-sid is for one call, not for --calls: each call needs a callSid of its own')
  }
  return {
    help: values.help === true,
    version: values.version === true,
    say: values.say,
    calls,
    rate: values.rate === undefined ? undefined : parseNumber('--rate', values.rate.replace(/\/s$/, '')),
    saveHeard: values['save-heard'],
    json: values.json === true,
    call: callOptions(withScheme(url ?? ''), values)
  }
}

/** Returns the url; if it begins with a host, as in `localhost:3000/in`, with the scheme http. */
function withScheme(url: string): string {
  return /^[a-z][a-z\d+.-]*:\/\//i.test(url) || !/^[\w[]/.test(url) ? url : `http://${url}`
}

type Values = ReturnType<typeof parse>['values']

function callOptions(url: string, values: Values): SimulateCallOptions {
  const given: SimulateCallOptions = {
    url,
    speed: values.speed === 'max' ? Infinity : parseNumber('--speed', values.speed ?? '1'),
    press: values.press ?? [],
    transcripts: (values.transcript ?? []).map((value) => parseTimed('--transcript', value)),
    faults: parseFaults(values.fault ?? [])
  }
  const { audio, silent, from, to, secret, auth, env } = values
  if (silent === true) given.speech = null
  if (audio !== undefined) given.speech = audio
  if (from !== undefined) given.from = from
  if (to !== undefined) given.to = to
  if (values['caller-name'] !== undefined) given.callerName = values['caller-name']
  if (secret !== undefined) given.webhookSecret = secret
  if (auth !== undefined) {
    const [username, password] = parsePair('--auth', auth, ':')
    given.webhookAuth = { username, password }
  }
  if (env !== undefined) given.env = Object.fromEntries(env.map((pair) => parsePair('--env', pair, '=')))
  if (values['status-hook'] !== undefined) given.statusHook = values['status-hook']
  if (values.insecure === true) given.allowSelfSigned = true
  if (values.get === true) given.webhookMethod = 'GET'
  if (values.outbound === true) given.direction = 'outbound'
  if (values['call-sid'] !== undefined) given.callSid = values['call-sid']
  if (values['account-sid'] !== undefined) given.accountSid = values['account-sid']
  if (values['application-sid'] !== undefined) given.applicationSid = values['application-sid']
  if (values['hang-up-after'] !== undefined) {
    given.hangUpAfterMs = parseTime('--hang-up-after', values['hang-up-after'])
  }
  if (values.patience !== undefined) given.patienceMs = parseTime('--patience', values.patience)
  const bLeg = calledParty(values)
  if (bLeg !== undefined) given.bLeg = bLeg
  if (values.platform !== undefined) given.platform = parsePlatform(values.platform)
  if (values.timeout !== undefined) given.timeoutMs = parseTime('--timeout', values.timeout)
  return given
}

function calledParty(values: Values): BLeg | undefined {
  const audio = values['called-audio']
  const answerAfter = values['called-answer-after']
  const hangUpAfter = values['called-hang-up-after']
  const refuses = values['called-refuses']
  if (audio !== undefined && values['called-silent'] === true) {
    throw new UsageError('--called-audio and --called-silent exclude each other')
  }
  if (refuses !== undefined && values['called-absent'] === true) {
    throw new UsageError('--called-refuses and --called-absent exclude each other')
  }
  const party: BLeg = {
    ...(audio !== undefined && { speech: audio }),
    ...(values['called-silent'] === true && { speech: null }),
    ...(answerAfter !== undefined && { answerAfterMs: parseTime('--called-answer-after', answerAfter) }),
    ...(hangUpAfter !== undefined && { hangUpAfterMs: parseTime('--called-hang-up-after', hangUpAfter) }),
    ...(refuses !== undefined && { answer: parseStatus(refuses) }),
    ...(values['called-absent'] === true && { answer: false })
  }
  return Object.keys(party).length === 0 ? undefined : party
}

function parseStatus(text: string): number {
  const status = Number(text)
  if (Number.isInteger(status) && status >= 400 && status <= 699) return status
  throw new UsageError(`--called-refuses: '${text}' must be a SIP status from 400 to 699 (486 is busy)`)
}

function parsePlatform(text: string): '0.9' | '11' {
  if (text === '0.9' || text === '11') return text
  throw new UsageError(`--platform: '${text}' must be 0.9 or 11`)
}

function parse(argv: string[]) {
  try {
    return parseArgs({ args: joinNegatives(argv), options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw new UsageError(describeMistake(error))
  }
}

/** Joins an option and its negative number, as in `--speed -1`, since parseArgs() would report no value. */
function joinNegatives(argv: string[]): string[] {
  const joined: string[] = []
  for (const arg of argv) {
    const option = joined.at(-1)
    const isValue = /^-\d/.test(arg) && option !== undefined && /^--[a-z-]+$/.test(option)
    if (isValue) joined[joined.length - 1] += `=${arg}`
    else joined.push(arg)
  }
  return joined
}

/** Returns the mistake that parseArgs() found, without its advice on values that begin with a dash. */
function describeMistake(error: unknown): string {
  const reason = reasonOf(error)
  const unknown = /^Unknown option '-*([^']*)'/.exec(reason)
  if (unknown === null) return reason.replaceAll('\n', ' ')
  const near = nearestOption(unknown[1]!)
  return near === undefined ? unknown[0] : `${unknown[0]}: did you mean --${near}?`
}

/** Returns the option whose name differs from a misspelled one by a letter, by its dashes, or by its end. */
function nearestOption(name: string): string | undefined {
  const shortened = shortenedBy1(name)
  const isNear = (option: string) => [...shortenedBy1(option)].some((short) => shortened.has(short))
  const options = Object.keys(OPTIONS)
  return options.find(isNear) ?? options.find((option) => name.length > 2 && option.startsWith(name))
}

/** Returns the letters of a name, and these letters without each one of them. */
function shortenedBy1(name: string): Set<string> {
  const letters = name.toLowerCase().replaceAll(/[^a-z]/g, '')
  return new Set([letters, ...Array.from(letters, (_, i) => letters.slice(0, i) + letters.slice(i + 1))])
}
