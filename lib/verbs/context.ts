import type { Call, StoredListen } from '../model/schema.js'
import type { Credentials } from './credentials.js'

/** What the outgoing verbs of one answer are filled in with. */
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
  /** Basic credentials for verbs without `wsAuth`. */
  auth?: Credentials
  /** whether a listen without an actionHook gets the built-in one */
  defaultActionHook: boolean
}

/** What an answer says of a listen it asks for. The rest is the same for each: it is `expected`, and nothing has come. */
export type ExpectedListen = Omit<StoredListen, 'state' | 'connected' | 'audio' | 'createdAt'>

export interface PreparedVerbs {
  /** JSON ready for jambonz, each `{ verb: 'name', … }` */
  verbs: object[]
  /** in the order of the verbs */
  listens: ExpectedListen[]
}
