import type { Fork } from '../fork/fork.js'
import { splitAddress } from '../fork/address.js'
import { quote, type Report } from '../problems.js'
import type { ListenRecord } from '../types.js'
import { recordOf } from './application.js'

const SUBPROTOCOL = 'audio.jambonz.org'
const LONG_PATH = 500
const MAX_CREDENTIALS = 89
/** ms. If the server ends a listen sooner, that was probably a mistake. */
const EARLY_MS = 1_000
const NO_CLOSE_FRAME = 1006
/** Close codes that a server without an error sends: 1000 (normal), 1001 (going away), 1005 (no code). */
const HARMLESS = [1000, 1001, 1005]
/** Bytes of 40 ms at 8 kHz. If the server streams less, unplayed samples are not reported. */
const SHORT_BYTES = 640

/** Reports the properties of a listen verb that jambonz accepts and ignores. */
export function judgeVerb(data: Record<string, unknown>, url: string, report: Report): void {
  const { finishOnKey, timeout, wsAuth, bidirectionalAudio } = data
  if (typeof finishOnKey === 'string' && [...finishOnKey].length > 1) {
    report(
      'listenOption',
      `finishOnKey '${quote(finishOnKey)}' never matches: jambonz compares each key with the whole text`,
      url
    )
  }
  if (timeout !== undefined) report('listenOption', 'jambonz never uses timeout of a listen', url)
  const { streaming, sampleRate } = recordOf(bidirectionalAudio)
  if (streaming === true && !(Number(sampleRate) > 0)) {
    report('streamingWithoutRate', 'bidirectionalAudio.streaming is set without sampleRate', url)
  }
  const { path } = splitAddress(url) ?? { path: '' }
  if (path.length >= LONG_PATH) {
    report('longUrl', `the path of the socket has ${path.length} characters`, url)
  }
  const { username, password } = recordOf(wsAuth)
  const bytes = Buffer.byteLength(`${String(username ?? '')}${String(password ?? '')}`)
  if (bytes > MAX_CREDENTIALS) report('longCredentials', `wsAuth has ${bytes} bytes of credentials`, url)
}

/** Reports a refused socket. `error`: the story's error about it. */
export function judgeRefusal({ url, refused, protocol }: ListenRecord, report: Report, error: string): void {
  const { text, status, body } = refused!
  const code = status === undefined ? '' : ` (status ${status})`
  const chosen =
    protocol === undefined || protocol === SUBPROTOCOL
      ? ''
      : `; the server selected the subprotocol '${quote(protocol)}', but jambonz needs ${SUBPROTOCOL}`
  const said = body === undefined ? '' : `: ${quote(body)}`
  report('refused', `the audio socket was refused: ${text}${code}${chosen}${said}`, url, error)
}

/** Reports an open socket without a subprotocol. */
export function judgeOpening({ url, protocol }: ListenRecord, report: Report): void {
  if (protocol === undefined) report('noSubprotocol', 'the server selected no subprotocol', url)
}

/** Reports the problems of a socket that has closed. */
export function judgeEnd(fork: Fork, report: Report): void {
  const { record } = fork
  const { url, closedBy, closeCode, closeReason, openedAtMs, closedAtMs, receivedAudio, lostMs } = record
  const openMs = closedAtMs! - openedAtMs!
  const after = `${(openMs / 1000).toFixed(1)} s after it opened`
  const reason = closeReason === undefined || closeReason === '' ? '' : ` '${quote(closeReason)}'`
  if (closedBy === 'server' && closeCode === NO_CLOSE_FRAME) {
    report('tornDown', `the server ended the connection without a close frame (1006), ${after}`, url)
  } else if (closedBy === 'server' && !HARMLESS.includes(closeCode!)) {
    report('closedWithError', `the server closed the socket with ${closeCode}${reason}, ${after}`, url)
  } else if (closedBy === 'server' && openMs < EARLY_MS) {
    report('closedEarly', `the server closed the socket with ${closeCode}${reason}, ${after}`, url)
  }
  if (receivedAudio.swallowed > 0) {
    report(
      'swallowedAudio',
      `the server streamed ${receivedAudio.swallowed} bytes to a listen that does not stream`,
      url
    )
  }
  if (fork.unplayed >= 1 && receivedAudio.bytes >= SHORT_BYTES) {
    report(
      'unplayedTail',
      `the last ${fork.unplayed} samples that the server streamed were never played`,
      url
    )
  }
  if (lostMs > 0) report('lostAudio', `${lostMs} ms of the caller's audio were lost`, url)
}
