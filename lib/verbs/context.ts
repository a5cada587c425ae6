import type { Call, StoredListen } from '../model/schema.js'
import type { Credentials } from './credentials.js'

/** `0.9`: the open-source jambonz; `11`: the commercial one of 2026, of which part is known by its documentation alone. */
export type Platform = '0.9' | '11'

/** The values that fill in the verbs of one answer. */
export interface VerbContext {
  call: Call
  /** The id for the n-th listen verb of this answer, counted from 0. The same for a repeated request. */
  listenId(ordinal: number): string
  /**
   * The signed socket url for a verb's own `url` and `wsAuth`. Undefined: it is elsewhere, and the verb is left alone.
   * Throws FST_JAMBONZ_AUDIO_ROUTE when it is relative and no audio route.
   */
  audioUrl(
    url: string | undefined,
    id: string,
    wsAuth?: Credentials
  ): { path: string; url: string } | undefined
  /**
   * A hook url of this application with `?listen=<id>`, and a key where its `method` is GET; the built-in one for undefined;
   * one that leads elsewhere unchanged.
   */
  hookUrl(url: string | undefined, id: string, method?: string): string
  /** which jambonz gets the verbs: what it would ignore is an error */
  platform: Platform
  /** Told, in place of an error, what the schemas of jambonz refuse; undefined: it is an error. */
  warn?: (message: string) => void
  /** Basic credentials for verbs without `wsAuth`. */
  auth?: Credentials
  /** whether a listen without an actionHook gets the built-in one */
  defaultActionHook: boolean
}

/**
 * The fields of a listen that the answer sets. The other fields are the same for each: it is `expected`, no audio has
 * come.
 */
export type ExpectedListen = Omit<StoredListen, 'state' | 'connected' | 'audio' | 'createdAt'>

export interface PreparedVerbs {
  /** JSON ready for jambonz, each `{ verb: 'name', … }` */
  verbs: object[]
  /** in the order of the verbs */
  listens: ExpectedListen[]
}
