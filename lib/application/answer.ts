import { crc32 } from 'node:zlib'
import type { FastifyRequest } from 'fastify'
import { socketUrl } from '../listening/socketUrl.js'
import { applicationOf } from '../correlation/application.js'
import { createListenId } from '../model/listenId.js'
import type { Call } from '../model/schema.js'
import type { Hmac } from '../model/Hmac.js'
import type { Application } from './Application.js'
import { asTraced } from './observeRequests.js'
import { prepareVerbs, type HandlerResult, type VerbContext } from '../verbs/index.js'
import { kRawBody, kTrace } from './request.js'

const ABSOLUTE = /^(?:https?|wss?):\/\//i

/** The verbs a handler returned, filled in and checked, with their listens written to the store. */
export async function answer(
  application: Application,
  request: FastifyRequest,
  call: Call,
  result: HandlerResult
): Promise<object[]> {
  const { verbs, listens } = prepareVerbs(result, verbContext(application, request, call))
  await application.correlator.expect(
    call.callSid,
    asTraced(request[kTrace], listens),
    applicationOf(verbs, application.options.auth)
  )
  return verbs
}

function verbContext(application: Application, request: FastifyRequest, call: Call): VerbContext {
  const { options, hookPaths, defaultHookPath } = application
  const { prefix } = request.server

  function hookUrl(url: string | undefined, id: string) {
    if (url !== undefined && ABSOLUTE.test(url)) return url
    const { path, rest } = splitUrl(url ?? defaultHookPath)
    const own = [path, prefix + path].find((candidate) => hookPaths.has(candidate)) ?? path
    const [query = '', ...fragment] = rest.split(/(?=#)/)
    return rest.startsWith('#')
      ? `${own}?listen=${id}${rest}`
      : `${own}${query}${query === '' ? '?' : '&'}listen=${id}${fragment.join('')}`
  }

  return {
    call,
    listenId: listenIds(options.secret, request, call),
    audioUrl: (url, id, wsAuth) => socketUrl(application, request, { id, url, wsAuth }),
    hookUrl,
    ...(options.auth && { auth: options.auth }),
    defaultActionHook: true
  }
}

/**
 * Ids that repeat when jambonz repeats its request (feature-server retries as the url's fragment says): while no
 * socket has come for a listen, the same request means the same listen. Its body is told from the call's others by a
 * checksum.
 */
function listenIds(secret: Hmac, request: FastifyRequest, call: Call): (ordinal: number) => string {
  const body = request[kRawBody] ?? ''
  return (ordinal) => {
    const repeated = `${request.url}\n${crc32(body)}\n${body.length}\n${ordinal}`
    for (let generation = 0; ; generation++) {
      const id = createListenId(secret, call.callSid, `${repeated}\n${generation}`)
      const earlier = call.listens.find((listen) => listen.id === id)
      if (earlier === undefined || (earlier.state === 'expected' && earlier.instance === undefined)) return id
    }
  }
}

/** `rest`: the query and fragment, with their marks. */
function splitUrl(url: string): { path: string; rest: string } {
  const end = url.search(/[?#]/)
  return end === -1 ? { path: url, rest: '' } : { path: url.slice(0, end), rest: url.slice(end) }
}
