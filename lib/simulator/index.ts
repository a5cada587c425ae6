import { SimulatedCall } from './call.js'
import type { SimulateCallOptions } from './types.js'

export { SimulatedCall } from './call.js'
export type { Speech } from './audio/load.js'
export { speechLike } from './audio/generate.js'
export { parseWav, wavOf } from './audio/wav.js'
export { signatureHeader } from './application/signature.js'
export type { Faults } from './faults.js'
export type { Problem, ProblemCode } from './problems.js'
export { SIM_APPLICATION, SIM_AUDIO, SIM_ENDED, SIM_OPTIONS, SIM_REQUEST, SIM_WAIT } from './errors.js'
export type {
  AppLike,
  ApplicationSocketRecord,
  BLeg,
  CallStory,
  CommandRecord,
  EventName,
  EventPayloads,
  Heard,
  ListenRecord,
  PlayDone,
  Press,
  RequestRecord,
  SimulateCallOptions,
  SimulatorEvent,
  TimedKeys,
  Track,
  Transcript,
  VerbRecord
} from './types.js'

/**
 * Simulates one phone call through jambonz: posts the webhook, runs the verbs, streams the audio and calls the hooks.
 *
 *     const story = await simulateCall({ app: fastify, hook: '/voicemail', press: '#' })
 *
 * Throws FST_JAMBONZ_SIM_OPTIONS for wrong options. The errors of the call itself are in `story.errors`.
 */
export function simulateCall(options: SimulateCallOptions): SimulatedCall {
  return new SimulatedCall(options)
}
