import type { ConfigListen, ListenOptions } from './listenSchema.js'

interface Verbs { listen: ListenOptions, stream: ListenOptions, config: { listen?: ConfigListen, [property: string]: unknown }, dial: { listen?: ListenOptions, stream?: ListenOptions, [property: string]: unknown } }
export type Verb = { [Name in keyof Verbs]: { verb: Name } & Verbs[Name] }[keyof Verbs] | { verb: string, [property: string]: unknown } | { verb?: never, [name: string]: unknown }
export type HandlerResult = Verb | Verb[] | { toJSON (): unknown } | undefined | null
