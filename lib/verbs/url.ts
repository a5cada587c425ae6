import { ERR_VERB_INVALID } from '../model/errors.js'
import { shown } from './explain.js'

/**
 * Characters of a listen's url. The media server splits it with a recursive regular expression and crashes at about
 * 700 (mod_audio_fork), host and base path included, which jambonz puts before a relative one.
 */
export const MAX_URL_LENGTH = 400

const ABSOLUTE = /^(?:wss?|https?):\/\//
const SPEAKABLE = /^(?:wss?|https?):\/\/[^/?#@[\]]+(?:\/|$)/
const PRINTABLE = /^[!-{}~]+$/

/** Throws FST_JAMBONZ_VERB_INVALID for a url that jambonz' media server cannot open, or would crash over. */
export function checkUrl(url: string, at: string): void {
  const problem = urlProblem(url)
  if (problem !== undefined) throw new ERR_VERB_INVALID(`${at}.url is ${shown('', url)}: ${problem}`)
}

function urlProblem(url: string): string | undefined {
  if (url === '') return 'leave it out, or name an audio route'
  if (url.length > MAX_URL_LENGTH) {
    return `at ${url.length} characters it could crash jambonz' media server: keep it within ${MAX_URL_LENGTH}`
  }
  if (!PRINTABLE.test(url)) return 'percent-encode what is not printable ASCII, spaces and the character |'
  if (ABSOLUTE.test(url) && !SPEAKABLE.test(url)) {
    return 'jambonz needs scheme://host[:port]/path, and takes no credentials, IPv6 address or query right after the host: put credentials into wsAuth'
  }
  return undefined
}
