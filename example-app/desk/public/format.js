const clockFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' })
const dayFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })

/** Returns a time such as 14:03. */
export function clock(iso) {
  return clockFormat.format(new Date(iso))
}

/** Returns a time such as 14:03. If it is not today, the day comes first. */
export function moment(iso) {
  const date = new Date(iso)
  const today = date.toDateString() === new Date().toDateString()
  return today ? clock(iso) : `${dayFormat.format(date)}, ${clock(iso)}`
}

/** Returns minutes and seconds, such as 1:07. */
export function minutes(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const rest = String(seconds % 60).padStart(2, '0')
  const whole = Math.floor(seconds / 60)
  return whole < 60
    ? `${whole}:${rest}`
    : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}:${rest}`
}

/** Returns a duration such as 7.1 s; from one minute on, such as 1:07. */
export function length(ms) {
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : minutes(ms)
}

/** maximum number of characters that are shown of a foreign text; the rest is cut off */
const LONGEST = 40
/** matches characters that are invisible, or that change the order of the characters around them */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu

/** Returns a text from a caller or an application as one short line that is safe to show. */
export function short(text) {
  const line = String(text).slice(0, 1_000).replace(UNSEEN, ' ').trim()
  const characters = [...line]
  return characters.length > LONGEST ? `${characters.slice(0, LONGEST - 1).join('')}…` : line
}

/**
 * Returns the user and host of a SIP address, such as bob@example.org for sip:bob@example.org;transport=tcp.
 */
export function party(address) {
  if (!['string', 'number'].includes(typeof address)) return 'unknown'
  const name = String(address)
    .replace(/^<?(?:sips?|tel):/i, '')
    .replace(/[;?>][^]*$/, '')
  return short(name) || 'unknown'
}

/**
 * Returns an audio format such as `8 kHz stereo`. For a recording this is the format of the file, which may
 * have the agent as its second channel.
 */
export function format({ sampleRate, mixType, recording }) {
  return `${sampleRate / 1000} kHz ${recording?.channels === 2 ? 'stereo' : mixType}`
}

/** Returns true if the application may speak to the caller. */
export function hasAgent({ bidirectional }) {
  return bidirectional?.mode === 'streaming'
}

/** Returns the names of a listen's channels, live and in its recording. */
export function channelNames(listen) {
  const mono = hasAgent(listen) ? ['caller', 'agent'] : ['caller']
  return { mono, stereo: ['caller', 'callee'], mixed: ['both'] }[listen.mixType]
}

const ENDS = {
  closed: 'Hung up',
  disconnected: 'Ended by the application',
  timeout: 'Ended by silence',
  maxLength: 'Longest duration reached',
  finishOnKey: 'Ended by a key',
  drained: 'Ended by shutdown',
  error: 'Ended by an error',
  lost: 'Connection lost',
  otherEnded: 'Ended with another listen',
  notConnected: 'No audio came'
}

export function ending({ endReason, digits }) {
  return endReason === 'finishOnKey' && digits ? `Ended by ${digits}` : (ENDS[endReason] ?? 'Ended')
}

/**
 * Sets the text of an element only if it changes, so that screen readers and selections are not disturbed.
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}
