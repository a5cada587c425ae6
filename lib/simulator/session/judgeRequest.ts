import { quote, type Report } from '../problems.js'
import type { RequestRecord } from '../types.js'
import { OK } from '../application/httpRequestor.js'

/**
 * Reports a request that the application refused, or an answer that jambonz ignores. `failure`: the error of a failed
 * request.
 */
export function judgeRequest(request: RequestRecord, report: Report, failure?: string): void {
  const { kind, transport, method, url, status, reply, body, error } = request
  if (transport === 'websocket') return
  const what = `${kind} ${method} ${new URL(url).pathname}`
  const said = body === undefined || body === '' ? '' : `: ${quote(body)}`
  if (status === undefined) {
    if (error !== undefined) report('requestFailed', `${what} failed: ${error}`, url, failure)
    return
  }
  if (error !== undefined) {
    const but = `was answered with ${status}, but the body is not the JSON that its content type names (${error})`
    return report('answerInvalid', `${what} ${but}${said}`, url, failure)
  }
  if (!OK.includes(status)) {
    return report('requestRefused', `${what} was answered with ${status}${said}`, url, failure)
  }
  if (kind === 'status' || said === '' || Array.isArray(reply)) return
  const kindOf = isArray(body)
    ? 'verbs whose content type is not application/json'
    : 'something other than verbs'
  report('answerIgnored', `${what} was answered with ${kindOf}${said}`, url)
}

function isArray(body: string | undefined): boolean {
  try {
    return Array.isArray(JSON.parse(body ?? ''))
  } catch {
    return false
  }
}
