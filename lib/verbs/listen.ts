import type { Credentials } from '../model/credentials.js'
import type { Data } from '../model/json.js'
import type { Call, StoredListen, Listen } from '../model/schema.js'
import {
  checkBidirectional,
  type BidirectionalOptions,
  checkCredentials,
  checkMetadata,
  checkMetadataSize,
  LISTEN_METADATA_KEY,
  checkUrl
} from './validate.js'
import type { ActionHook, ConfigListen, ListenOptions } from './listenSchema.js'

/** `0.9`: the open-source jambonz. `11`: the commercial one of 2026, partly known from its documentation alone. */
export type Platform = '0.9' | '11'

/** The url of an actionHook, as it is sent to jambonz. `isOurs`: true if it leads to an actionHook of this plugin */
export interface HookUrl {
  url: string
  isOurs: boolean
}

/** The values that complete the verbs of one answer. */
export interface VerbContext {
  call: Call
  /** Returns the id of the n-th listen of this answer, from 0. A repeated request gets the same ids. */
  listenId(ordinal: number): string
  /**
   * Returns the signed socket url for a verb's own `url` and `wsAuth`. Returns undefined if the url leads
   * elsewhere, so that the verb stays unchanged. Throws FST_JAMBONZ_AUDIO_ROUTE for a relative url that is no
   * audio route.
   */
  audioUrl(
    url: string | undefined,
    id: string,
    wsAuth?: Credentials
  ): { path: string; url: string } | undefined
  /**
   * Returns the actionHook of a listen. A url of this application gets `?listen=<id>`, and a key if its
   * `method` is GET. undefined becomes the built-in hook. Any other url stays unchanged.
   */
  hookUrl(url: string | undefined, id: string, method?: string): HookUrl
  /** the version of jambonz that gets the verbs; a listen that this version would ignore is an error */
  platform: Platform
  /**
   * Called with the mistake in a verb that jambonz' schemas refuse. If undefined, such a mistake is an error.
   */
  warn?: (message: string) => void
  /** Basic credentials for verbs without `wsAuth`. */
  auth?: Credentials
  /** true if a listen without an actionHook gets the built-in actionHook */
  defaultActionHook: boolean
}

/**
 * The fields of a listen that the answer sets. The other fields have their initial values.
 */
export type ExpectedListen = Omit<StoredListen, 'state' | 'connected' | 'audio' | 'createdAt'>

type Writable<T> = { -readonly [Name in keyof T]: T[Name] }

export interface PreparedVerbs {
  /** JSON for jambonz, each `{ verb: 'name', … }` */
  verbs: object[]
  /** in the order of the verbs */
  listens: ExpectedListen[]
}

const DEFAULT_SAMPLE_RATE = 8_000

export interface ListenRequest {
  /** from ListenOptions or ConfigListen, checked against its schema */
  data: ListenOptions & ConfigListen
  /** place of the listen in the answer, as in `[1] dial.listen` */
  at: string
  nested: Listen['nested']
  ordinal: number
}

export interface PreparedListen {
  data: object
  listen?: ExpectedListen
}

/** Completes one listen for jambonz. Returns its verb, and the listen to expect. */
export function prepareListen(
  { data, at, nested, ordinal }: ListenRequest,
  context: VerbContext
): PreparedListen {
  if (data.url !== undefined) checkUrl(data.url, at)
  if (data.wsAuth !== undefined) checkCredentials(`${at}.wsAuth`, data.wsAuth)
  const id = context.listenId(ordinal)
  const target = context.audioUrl(data.url, id, data.wsAuth)
  if (target === undefined) {
    if (data.metadata !== undefined) checkMetadataSize(data.metadata, at)
    return { data }
  }
  checkUrl(target.url, at)
  if (data.metadata !== undefined) checkMetadata(data.metadata, at)
  checkBidirectional(data, at)
  const filled = nested === 'config' ? withoutAudioBack(data) : data
  const listen = expectedListen(filled, { id, path: target.path, callSid: context.call.callSid, nested })
  return { data: outgoing(filled, listen, target.url, context), listen }
}

/**
 * Turns bidirectional audio off for a background listen whose verb does not mention it, since jambonz plays a
 * file once for each listen of the call with bidirectional audio (feature-server lib/tasks/listen.js).
 */
function withoutAudioBack<T extends ConfigListen>(data: T): T {
  return data.bidirectionalAudio === undefined && data.disableBidirectionalAudio === undefined
    ? { ...data, bidirectionalAudio: { enabled: false } }
    : data
}

function expectedListen(
  data: ListenOptions,
  { id, path, callSid, nested }: Pick<Listen, 'id' | 'path' | 'callSid' | 'nested'>
): Writable<ExpectedListen> {
  const {
    id: verbId,
    mixType = 'mono',
    sampleRate = DEFAULT_SAMPLE_RATE,
    metadata,
    finishOnKey,
    timeout,
    maxLength
  } = data
  // Fields are set one by one, since spreads of conditions take three times as long for a listen with few
  // fields.
  const listen: Writable<ExpectedListen> = {
    id,
    callSid,
    path,
    mixType,
    sampleRate,
    channels: mixType === 'stereo' ? 2 : 1,
    bidirectional: bidirectionalOf(data, sampleRate)
  }
  if (verbId !== undefined) listen.verbId = verbId
  if (nested !== undefined) listen.nested = nested
  if (metadata !== undefined) listen.metadata = metadata
  if (nested === 'dial' && data.channel === 2) listen.leg = 'callee'
  if (finishOnKey) listen.finishOnKey = finishOnKey
  if (timeout) listen.timeout = timeout
  if (maxLength) listen.maxLength = maxLength
  if (data.passDtmf === true || endsOnOurKey(listen) || listen.timeout !== undefined) listen.passDtmf = true
  return listen
}

function outgoing(
  data: ListenOptions,
  listen: Writable<ExpectedListen>,
  url: string,
  context: VerbContext
): object {
  const {
    actionHook,
    metadata,
    wsAuth = context.auth,
    bidirectionalAudio,
    finishOnKey,
    timeout,
    maxLength,
    ...rest
  } = data
  const sent: Data = rest
  if (listen.nested !== 'config') addForegroundOnly(sent, actionHook, listen, context)
  sent.url = url
  if (wsAuth !== undefined) sent.wsAuth = wsAuth
  // Empty keys and times of 0 are left out.
  if (finishOnKey && !endsOnOurKey(listen)) sent.finishOnKey = finishOnKey
  if (timeout) sent.timeout = timeout
  if (maxLength) sent.maxLength = maxLength
  if (listen.passDtmf) sent.passDtmf = true
  if (bidirectionalAudio !== undefined) {
    sent.bidirectionalAudio =
      bidirectionalAudio.streaming === true
        ? { ...bidirectionalAudio, sampleRate: listen.bidirectional?.sampleRate }
        : bidirectionalAudio
  }
  // Our key comes first, because the frame may arrive without its end.
  sent.metadata = { [LISTEN_METADATA_KEY]: listen.id, ...metadata }
  return sent
}

/**
 * Returns true if the plugin has to end the listen on its key. jambonz does so only for a single key, since it compares
 * the whole string with one digit, and not in `config`, which has no finishOnKey.
 */
function endsOnOurKey({ finishOnKey, nested }: Pick<Listen, 'finishOnKey' | 'nested'>): boolean {
  return finishOnKey !== undefined && (finishOnKey.length > 1 || nested === 'config')
}

/** Adds the properties that jambonz refuses in `config.listen`. Notes in `listen` if its hook is not ours. */
function addForegroundOnly(
  sent: Data,
  actionHook: ActionHook | undefined,
  listen: Writable<ExpectedListen>,
  context: VerbContext
): void {
  sent.id ??= listen.id
  if (typeof actionHook === 'object') {
    const { url, isOurs } = context.hookUrl(actionHook.url, listen.id, actionHook.method)
    sent.actionHook = { ...actionHook, url }
    if (!isOurs) listen.foreignHook = true
  } else if (actionHook !== undefined || context.defaultActionHook) {
    const { url, isOurs } = context.hookUrl(actionHook, listen.id)
    sent.actionHook = url
    if (!isOurs) listen.foreignHook = true
  }
}

/** Returns how jambonz plays audio to the caller (feature-server lib/tasks/listen.js). */
function bidirectionalOf(
  { bidirectionalAudio, disableBidirectionalAudio }: BidirectionalOptions,
  sampleRate: number
): NonNullable<Listen['bidirectional']> {
  const enabled = bidirectionalAudio?.enabled ?? disableBidirectionalAudio !== true
  const mode = !enabled ? 'off' : bidirectionalAudio?.streaming === true ? 'streaming' : 'file'
  return { mode, sampleRate: bidirectionalAudio?.sampleRate ?? sampleRate }
}
