import type { Call, StoredListen, Listen } from '../model/schema.js'
import {
  type Credentials,
  checkBidirectional,
  type BidirectionalOptions,
  checkCredentials,
  checkMetadata,
  checkMetadataSize,
  LISTEN_METADATA_KEY,
  checkUrl
} from './listenChecks.js'
import type { ActionHook, ConfigListen, ListenOptions } from './listenSchema.js'

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

const DEFAULT_SAMPLE_RATE = 8_000

export interface ListenRequest {
  /** from ListenOptions or ConfigListen, already checked against its schema */
  data: ListenOptions & ConfigListen
  /** its place, as in `[1] dial.listen` */
  at: string
  nested: Listen['nested']
  ordinal: number
}

export interface PreparedListen {
  data: object
  listen?: ExpectedListen
}

/** Fills in one listen for jambonz, and notes what is to come of it. */
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
 * A listen in the background plays nothing unless its verb says so: jambonz plays a file once for each listen of a call
 * that may play (feature-server lib/tasks/listen.js).
 */
function withoutAudioBack<T extends ConfigListen>(data: T): T {
  return data.bidirectionalAudio === undefined && data.disableBidirectionalAudio === undefined
    ? { ...data, bidirectionalAudio: { enabled: false } }
    : data
}

function expectedListen(
  data: ListenOptions,
  { id, path, callSid, nested }: Pick<Listen, 'id' | 'path' | 'callSid' | 'nested'>
): ExpectedListen {
  const {
    id: verbId,
    mixType = 'mono',
    sampleRate = DEFAULT_SAMPLE_RATE,
    metadata,
    finishOnKey,
    timeout,
    maxLength
  } = data
  return {
    id,
    callSid,
    ...(verbId !== undefined && { verbId }),
    path,
    ...(nested !== undefined && { nested }),
    mixType,
    sampleRate,
    channels: mixType === 'stereo' ? 2 : 1,
    ...(metadata !== undefined && { metadata }),
    ...(nested === 'dial' && data.channel === 2 && { leg: 'callee' as const }),
    ...(finishOnKey && { finishOnKey }),
    ...(timeout && { timeout }),
    ...(maxLength && { maxLength }),
    bidirectional: bidirectionalOf(data, sampleRate)
  }
}

function outgoing(data: ListenOptions, listen: ExpectedListen, url: string, context: VerbContext): object {
  const { actionHook, metadata, wsAuth = context.auth, bidirectionalAudio, ...given } = data
  const { finishOnKey, ...rest } = withoutZeros(given)
  const keyIsOurs = finishOnKey !== undefined && !jambonzEndsOn(finishOnKey, listen)
  return {
    ...rest,
    ...(listen.nested !== 'config' && foregroundOnly(actionHook, rest.id, listen, context)),
    url,
    ...(wsAuth !== undefined && { wsAuth }),
    ...(finishOnKey !== undefined && !keyIsOurs && { finishOnKey }),
    ...((keyIsOurs || listen.timeout !== undefined) && { passDtmf: true }),
    ...(bidirectionalAudio !== undefined && {
      bidirectionalAudio:
        bidirectionalAudio.streaming === true
          ? { ...bidirectionalAudio, sampleRate: listen.bidirectional?.sampleRate }
          : bidirectionalAudio
    }),
    // Ours first: the frame can arrive cut off at its end.
    metadata: { [LISTEN_METADATA_KEY]: listen.id, ...metadata }
  }
}

/** Leaves out what is there and says nothing: no key, no time. */
function withoutZeros<T extends Pick<ListenOptions, 'finishOnKey' | 'maxLength' | 'timeout'>>(data: T): T {
  const given = { ...data }
  for (const name of ['finishOnKey', 'maxLength', 'timeout'] as const) if (!given[name]) delete given[name]
  return given
}

/** jambonz compares the whole string with one digit, and knows no finishOnKey in `config`. The rest is for the plugin to do. */
function jambonzEndsOn(finishOnKey: string, listen: ExpectedListen): boolean {
  return finishOnKey.length === 1 && listen.nested !== 'config'
}

/** Returns the properties that jambonz refuses in `config.listen`. */
function foregroundOnly(
  actionHook: ActionHook | undefined,
  id: string | undefined,
  listen: ExpectedListen,
  context: VerbContext
): object {
  const hook =
    actionHook === undefined && !context.defaultActionHook
      ? undefined
      : typeof actionHook === 'object'
        ? { ...actionHook, url: context.hookUrl(actionHook.url, listen.id, actionHook.method) }
        : context.hookUrl(actionHook, listen.id)
  return { id: id ?? listen.id, ...(hook !== undefined && { actionHook: hook }) }
}

/** How audio gets back to the caller, as jambonz works it out (feature-server lib/tasks/listen.js). */
function bidirectionalOf(
  { bidirectionalAudio, disableBidirectionalAudio }: BidirectionalOptions,
  sampleRate: number
): NonNullable<Listen['bidirectional']> {
  const enabled = bidirectionalAudio?.enabled ?? disableBidirectionalAudio !== true
  const mode = !enabled ? 'off' : bidirectionalAudio?.streaming === true ? 'streaming' : 'file'
  return { mode, sampleRate: bidirectionalAudio?.sampleRate ?? sampleRate }
}
