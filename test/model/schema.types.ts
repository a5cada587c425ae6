// `npm run typecheck` compiles this file; it never runs. It checks that the public types of calls and listens
// match the schemas, with every field read-only.
import type { Static } from '@sinclair/typebox'
import { CallSchema, ListenSchema, type Call, type Listen } from '../../lib/model/schema.js'

type Writable<T> = T extends object ? { -readonly [Name in keyof T]: Writable<T[Name]> } : T

declare const call: Call
declare const listen: Listen
declare const callOfSchema: Static<typeof CallSchema>
declare const listenOfSchema: Static<typeof ListenSchema>

// The type and the schema have the same fields.
const names: Array<[keyof Call, keyof Static<typeof CallSchema>]> = [] satisfies Array<
  [keyof Static<typeof CallSchema>, keyof Call]
>
const listenNames: Array<[keyof Listen, keyof Static<typeof ListenSchema>]> = [] satisfies Array<
  [keyof Static<typeof ListenSchema>, keyof Listen]
>

// Apart from `readonly`, each type is assignable to the other.
const seen: [Call, Listen] = [callOfSchema, listenOfSchema]
const described: [Static<typeof CallSchema>, Static<typeof ListenSchema>] = [
  call as Writable<Call>,
  listen as Writable<Listen>
]

// @ts-expect-error only `calls.update()` may write a call's data
call.data.agent = 'me'
// @ts-expect-error a call's fields are read-only
call.from = 'me'
// @ts-expect-error a call's listens are read-only
call.listens.push(listen)
// @ts-expect-error a listen's fields are read-only
listen.state = 'ended'
// @ts-expect-error a listen's segments are read-only
listen.segments?.push()

export { described, listenNames, names, seen }
