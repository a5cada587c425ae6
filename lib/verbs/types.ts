import type { JambonzVerbs } from './jambonzVerbs.js'
import type { ConfigListen, ListenOptions } from './listenSchema.js'

/** The properties of each verb, by its name: `VerbProperties['say']`. */
export interface VerbProperties extends Omit<JambonzVerbs, 'config' | 'dial' | 'conference' | 'room'> {
  listen: ListenOptions
  stream: ListenOptions
  config: Omit<JambonzVerbs['config'], 'listen' | 'stream'> & { listen?: ConfigListen; stream?: ConfigListen }
  conference: Omit<JambonzVerbs['conference'], 'listen' | 'stream'> & NestedListen
  room: Omit<JambonzVerbs['room'], 'listen' | 'stream'> & NestedListen
  dial: Omit<JambonzVerbs['dial'], 'listen' | 'stream'> & NestedListen
}

interface NestedListen {
  listen?: ListenOptions
  stream?: ListenOptions
}

type VerbName = keyof VerbProperties

/** `{ verb: 'say', text: 'Hello' }` */
type LongVerb = { [Name in VerbName]: { verb: Name } & VerbProperties[Name] }[VerbName]

/** `{ say: { text: 'Hello' } }` */
type ShortVerb = { [Name in VerbName]: { verb?: never } & { [Key in Name]: VerbProperties[Name] } }[VerbName]

/** One jambonz verb, in either spelling. */
export type Verb = LongVerb | ShortVerb

/**
 * The result of a handler: verbs, one verb, something that becomes verbs as JSON (`WebhookResponse` of
 * `@jambonz/sdk`), or nothing.
 */
export type HandlerResult = Verb | readonly Verb[] | { toJSON(): unknown } | undefined | null

/** The same without one verb alone: in a union with it, editors complete nothing inside an array of verbs. */
export type VerbsResult = readonly Verb[] | { toJSON(): unknown } | undefined | null

/**
 * `unknown`, or a string that names the property jambonz does not know: `handler: Handler & NoUnknownProperties<Result>`
 * makes it an error. TypeScript looks for surplus properties in object literals, yet not in those a function returns,
 * and jambonz refuses the whole application over one.
 */
export type NoUnknownProperties<Result> =
  Surplus<Element<Result>> extends infer Found ? ([Found] extends [never] ? unknown : Found) : never

type Element<Result> = Result extends ReadonlyArray<infer One> ? One : Result

type Surplus<Given> = Given extends { verb: infer Name extends VerbName }
  ? SurplusOf<Omit<Given, 'verb'>, VerbProperties[Name], Name>
  : Given extends { toJSON(): unknown }
    ? never
    : { [Name in keyof Given & VerbName]: SurplusOf<Given[Name], VerbProperties[Name], Name> }[keyof Given &
        VerbName]

type SurplusOf<Given, Known, Place extends string> = string extends keyof Known
  ? never
  : {
      [Key in keyof Given & string]: Given[Key] extends undefined
        ? never
        : Key extends keyof Known
          ? Key extends 'listen' | 'stream'
            ? SurplusOf<Given[Key], NonNullable<Known[Key]>, `${Place}.${Key}`>
            : never
          : `${Place} has no property ${Key}`
    }[keyof Given & string]
