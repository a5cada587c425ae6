import { createError } from '@fastify/error'

/** An option of `simulateCall` is wrong. The message names the option. */
export const SIM_OPTIONS = createError('FST_JAMBONZ_SIM_OPTIONS', 'simulateCall: %s', 500, TypeError)

/** The simulator can't use the given audio. The message says why, and which audio is accepted. */
export const SIM_AUDIO = createError('FST_JAMBONZ_SIM_AUDIO', 'simulated speech: %s', 500, TypeError)

/** `waitFor` waited in vain. The message names the event, the time, and the events that happened instead. */
export const SIM_WAIT = createError('FST_JAMBONZ_SIM_WAIT', "waitFor('%s'): %s", 504)

/** A method was called on a call that had ended. */
export const SIM_ENDED = createError(
  'FST_JAMBONZ_SIM_ENDED',
  '%s: the call has ended; use this method while the call runs',
  410
)

/** jambonz would refuse the application. The message names verb, property and value. */
export const SIM_APPLICATION = createError(
  'FST_JAMBONZ_SIM_APPLICATION',
  'jambonz refuses the application: %s',
  422
)

/**
 * Returns an error's message. It asks for the property, since errors of Fastify are no native errors, and Node's own
 * errors are no `instanceof Error` in a test runner such as Jest.
 */
export function reasonOf(error: unknown): string {
  const { message } = Object(error) as { message?: unknown }
  return typeof message === 'string' ? message : String(error)
}

/** A request of jambonz failed. The message has the status or the cause. */
export const SIM_REQUEST = createError('FST_JAMBONZ_SIM_REQUEST', '%s', 502)
