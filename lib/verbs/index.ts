import type { JambonzVerbs } from './jambonzVerbs.js'
import type { ConfigListen, ListenOptions } from './listenSchema.js'

export {
  type ExpectedListen,
  type HookUrl,
  type Platform,
  type PreparedVerbs,
  type VerbContext
} from './listen.js'
export {
  checkCredentials,
  LISTEN_METADATA_KEY,
  MAX_CREDENTIALS_BYTES,
  MAX_METADATA_BYTES,
  MAX_URL_LENGTH
} from './validate.js'
export {
  ActionHookSchema,
  BidirectionalAudioSchema,
  ConfigListenSchema,
  ListenOptionsSchema,
  ListenVerbSchema,
  SAMPLE_RATES,
  StreamVerbSchema,
  type ActionHook,
  type ConfigListen,
  type ListenOptions,
  type ListenVerb,
  type StreamVerb
} from './listenSchema.js'
export { jsonOfVerbs, listenKeyOf, prepareVerbs } from './prepare.js'

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
 * The result of a handler: verbs, one verb, an object whose JSON is verbs (`WebhookResponse` of `@jambonz/sdk`), or
 * nothing.
 */
export type HandlerResult = Verb | readonly Verb[] | { toJSON(): unknown } | undefined | null

/**
 * A HandlerResult, but not one verb alone, since editors complete nothing inside an array of verbs if the
 * union has one.
 */
export type VerbsResult = readonly Verb[] | { toJSON(): unknown } | undefined | null

/**
 * The right type of a handler with this result: `Right`, or a text that names a mistake. Used as `handler: Handler &
 * Accepted<Result, …>`. TypeScript checks object literals for surplus properties, but not the objects that a function
 * returns. And it explains a mistake in a large union by any member of the union, such as another verb.
 */
export type Accepted<Result, Right> =
  Mistake<Result> extends infer Found ? ([Found] extends [never] ? Right : Found) : never

/** The result that has the right type for each value of this result. */
export type Corrected<Result> = [VerbsResult] extends [Result]
  ? Result
  : Result extends undefined | null | void | { toJSON(): unknown }
    ? Result
    : Result extends readonly unknown[]
      ? { readonly [Index in keyof Result]: VerbLike<Result[Index]> }
      : VerbLike<Result>

/** The verb with the name of this one. */
type VerbLike<Given> = Given extends { verb: infer Name extends VerbName }
  ? { verb: Name } & VerbProperties[Name]
  : { [Name in keyof Given & VerbName]: { [Key in Name]: VerbProperties[Name] } }[keyof Given & VerbName]

type IsAny<Given> = 0 extends 1 & Given ? true : false

/** A text for each mistake in a handler's result, except for wrong values. */
type Mistake<Result> =
  IsAny<Result> extends true
    ? never
    : Result extends undefined | null | void | { toJSON(): unknown }
      ? never
      : Result extends string | number | boolean | bigint | symbol
        ? 'a handler returns an array of verbs, one verb, a WebhookResponse, or nothing'
        : Result extends ReadonlyArray<infer One>
          ? MistakeOf<One>
          : MistakeOf<Result>

type MistakeOf<Given> =
  IsAny<Given> extends true
    ? never
    : Given extends PromiseLike<unknown>
      ? 'a verb is a promise: await it'
      : Given extends readonly unknown[]
        ? 'the array of verbs contains an array: spread it, as in [...verbs]'
        : Given extends { verb: infer Name }
          ? Name extends VerbName
            ? SurplusOf<Omit<Given, 'verb'>, VerbProperties[Name], Name>
            : NoVerb<Name>
          : [keyof Given & VerbName] extends [never]
            ? NoVerb<keyof Given>
            : string extends keyof Given
              ? NoVerb<string>
              : {
                  [Name in keyof Given & VerbName]: SurplusOf<Given[Name], VerbProperties[Name], Name>
                }[keyof Given & VerbName]

type NoVerb<Name> = string extends Name
  ? 'the type of a verb is not known: give a variable its type, as in const verbs: Verb[] = […]'
  : Name extends string
    ? `jambonz has no verb ${Name}`
    : "name the verb, as in { verb: 'say', text: 'Hello' }"

type SurplusOf<Given, Known, Place extends string> = string extends keyof Known
  ? never
  : {
      [Key in keyof Given & string]: Given[Key] extends undefined
        ? never
        : Key extends keyof Known
          ? Key extends 'listen' | 'stream'
            ? SurplusOf<Given[Key], NonNullable<Known[Key]>, `${Place}.${Key}`>
            : Unlike<Given[Key], NonNullable<Known[Key]>, `${Place}.${Key}`>
          : `${Place} has no property ${Key}`
    }[keyof Given & string]

/** A text for a value that has nothing in common with its type. TypeScript itself does not see it in an intersection. */
type Unlike<Given, Known, Place extends string> = Given extends Known
  ? never
  : Known extends readonly unknown[]
    ? never
    : Given extends Primitive
      ? [Extract<Known, Primitive>] extends [never]
        ? `${Place} must be an object`
        : never
      : [keyof Given & KeyOf<Known>] extends [never]
        ? `${Place} has no property ${keyof Given & string}`
        : never

type Primitive = string | number | boolean
type KeyOf<Known> = Known extends Primitive ? never : keyof Known
