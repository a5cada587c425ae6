import type { Listen } from '../model/schema.js'
import { bidirectionalOf, checkBidirectional } from './bidirectional.js'
import { checkCredentials } from './credentials.js'
import type { ExpectedListen, VerbContext } from './context.js'
import type { ActionHook, ConfigListen, ListenOptions } from './listenSchema.js'
import { checkMetadata, checkMetadataSize, LISTEN_METADATA_KEY } from './metadata.js'
import { checkUrl } from './url.js'

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
