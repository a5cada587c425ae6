import { SIM_APPLICATION } from '../errors.js'
import { checkVerb, type Leniency } from './specs.js'

/** A checked verb of an application. */
export interface VerbData {
  verb: string
  data: Record<string, unknown>
}

/**
 * Returns the verbs of a reply, which may be spelled `{verb: 'say', …}` or `{say: {…}}`. Checks each verb as jambonz
 * does. Throws FST_JAMBONZ_SIM_APPLICATION if one verb is invalid: jambonz then refuses all.
 */
export function parseApplication(reply: unknown, leniency: Leniency): VerbData[] {
  if (!Array.isArray(reply)) {
    throw new SIM_APPLICATION(`the reply must be an array of verbs, but it is ${describe(reply)}`)
  }
  return reply.map((item: unknown) => {
    if (!isRecord(item)) {
      throw new SIM_APPLICATION(`each verb must be an object, but one is ${describe(item)}`)
    }
    const { verb, data } = split(item)
    checkVerb(verb, data, leniency)
    return { verb, data }
  })
}

/** Returns the value of a verb's property if the value is an object, or else an empty object. */
export function recordOf(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {}
}

function split(item: Record<string, unknown>): VerbData {
  if ('verb' in item) {
    const { verb, ...data } = item
    if (typeof verb !== 'string') {
      throw new SIM_APPLICATION(`the property verb must be the name of a verb, but it is ${describe(verb)}`)
    }
    return { verb, data }
  }
  const [verb, ...others] = Object.keys(item)
  if (verb === undefined || others.length > 0) {
    throw new SIM_APPLICATION(`${describe(item)} has no verb property`)
  }
  const data = item[verb]
  if (!isRecord(data)) throw new SIM_APPLICATION(`${verb} must have an object of properties`)
  return { verb, data }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function describe(value: unknown): string {
  if (value === undefined) return 'missing'
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
