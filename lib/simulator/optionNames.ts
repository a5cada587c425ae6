import { SIM_OPTIONS } from './errors.js'
import type { Faults } from './faults.js'
import type { BLeg, SimulateCallOptions } from './types.js'

type Names<Options> = Readonly<Record<keyof Options, true>>

const OPTIONS: Names<SimulateCallOptions> = {
  url: true,
  app: true,
  hook: true,
  transport: true,
  publicUrl: true,
  allowSelfSigned: true,
  webhookMethod: true,
  statusHook: true,
  from: true,
  to: true,
  callerName: true,
  callSid: true,
  accountSid: true,
  applicationSid: true,
  direction: true,
  webhookSecret: true,
  webhookAuth: true,
  env: true,
  speech: true,
  speakAt: true,
  press: true,
  transcripts: true,
  hangUpAfterMs: true,
  patienceMs: true,
  bLeg: true,
  recordAllCalls: true,
  configListenHook: true,
  platform: true,
  members: true,
  outsideListen: true,
  includeStream: true,
  callRate: true,
  speed: true,
  faults: true,
  httpTimeoutMs: true,
  ackTimeoutMs: true,
  timeoutMs: true,
  signal: true,
  keepAudio: true,
  onEvent: true
}
const FAULTS: Names<Faults> = {
  slowUpgradeMs: true,
  noMetadata: true,
  lateMetadataMs: true,
  metadata: true,
  dropAfterMs: true,
  duplicateWebhook: true,
  duplicateHook: true,
  hookBeforeCloseMs: true,
  noHookAfterHangup: true,
  stall: true,
  hangUpDuringUpgrade: true,
  gracefulShutdown: true
}
const B_LEG: Names<BLeg> = { answer: true, answerAfterMs: true, speech: true, hangUpAfterMs: true }

/** Throws FST_JAMBONZ_SIM_OPTIONS for a name that is no option, since a misspelled option would change nothing. */
export function checkNames(options: SimulateCallOptions): void {
  checkKnown('', options, OPTIONS)
  checkKnown('faults.', options.faults, FAULTS)
  checkKnown('bLeg.', options.bLeg, B_LEG)
}

function checkKnown(place: string, options: object = {}, names: object): void {
  const known = Object.keys(names)
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown === undefined) return
  throw new SIM_OPTIONS(`there is no option ${place}${unknown}: use ${known.join(', ')}`)
}
