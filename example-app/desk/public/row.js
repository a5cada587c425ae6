import { channelNames, format, hasAgent, length, party, setText, short } from './format.js'
import { stepsOf } from './steps.js'
import { LiveWave } from './wave.js'

/** ms in which the meters fall to zero after a stream has ended */
const AFTERMATH = 1_600
/** maximum number of keys that are shown for a call */
const MOST_KEYS = 24
const template = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true)

/** The row of one call in the list, with all listens of the call. */
export class CallRow {
  element = template('call')
  call
  isVisible = true
  since = this.element.querySelector('.since')
  #on
  #listens = new Map()
  #legs = []
  /**
   * From the last message with levels: the state of the recording or 'private' (`#recording`), and the ms of
   * audio that are missing (`#gapMs`).
   */
  #recording
  #gapMs = 0
  #heard
  #playable = new Set()

  constructor(on) {
    this.#on = on
  }

  /**
   * Updates the row. `legs`: the calls that this call has dialled. `instance`: the instance that serves this
   * page.
   */
  show(call, legs, instance) {
    this.call = call
    this.#legs = legs
    const find = (selector) => this.element.querySelector(selector)
    this.element.classList.toggle('over', call.isOver)
    showParty(find('.from'), call.from)
    showParty(find('.to'), call.to)
    for (const listen of call.listens) {
      if (listen.connected) this.#showListen(listen, instance)
    }
    this.#showProgress()
    showKeys(find('.keys'), String(call.data.keys ?? ''))
  }

  levels(streams, at) {
    for (const [id, { wave }] of this.#listens) {
      const levels = streams[id]
      if (levels === undefined) continue
      wave.push(levels, at)
      const { gapMs } = levels
      const recording = levels.isPrivate ? 'private' : levels.recording
      if (!wave.isLive || (recording === this.#recording && gapMs === this.#gapMs)) continue
      this.#recording = recording
      this.#gapMs = gapMs
      this.#showProgress()
    }
  }

  markHeard(id) {
    this.#heard = id
    this.#showButtons()
  }

  markPlayable(ids) {
    this.#playable = ids
    this.#showButtons()
  }

  isMoving(now) {
    return [...this.#listens.values()].some(({ wave }) => isMoving(wave, now))
  }

  draw(now) {
    for (const { wave } of this.#listens.values()) {
      if (isMoving(wave, now)) wave.draw(now)
    }
  }

  #showListen(listen, instance) {
    const shown = this.#listens.get(listen.id) ?? this.#addListen(listen)
    const { element, wave } = shown
    const isLive = listen.state === 'streaming'
    const isHere = listen.instance === instance
    if (wave.isLive && !isLive) wave.endedAt = performance.now()
    Object.assign(wave, { isLive })
    Object.assign(shown, { listen, isHere })
    element.classList.toggle('live', isLive)
    element.classList.toggle('here', isHere && (isLive || !wave.isEmpty))
    element.hidden = !isLive && this.call.listens.some(({ state }) => state === 'streaming')
    setText(
      element.querySelector('.elsewhere'),
      isLive && !isHere ? `Its audio is at ${listen.instance}` : ''
    )
    this.#showButton(shown)
  }

  #addListen(listen) {
    const element = template('listen')
    const canvas = element.querySelector('canvas')
    const names = channelNames(listen)
    // If the agent has no channel of its own, a thin lane shows when the agent speaks.
    const hasLane = hasAgent(listen) && !names.includes('agent')
    const label = (className, textContent) =>
      Object.assign(document.createElement('span'), { className, textContent })
    element
      .querySelector('.lanes')
      .append(...names.map((name) => label(name, name)), ...(hasLane ? [label('agent thin', 'agent')] : []))
    this.element.querySelector('.audio').append(element)
    const shown = { element, wave: new LiveWave(canvas, names.length, hasLane) }
    this.#listens.set(listen.id, shown)
    return shown
  }

  #showButtons() {
    for (const shown of this.#listens.values()) this.#showButton(shown)
  }

  /**
   * Shows the button of a listen. It listens in if the listen is live on this instance, and otherwise plays
   * its recording.
   */
  #showButton({ element, listen, isHere, wave }) {
    const button = element.querySelector('button')
    const isHeard = listen.id === this.#heard
    const who = party(this.call.from)
    const isPlayable = this.#playable.has(listen.id)
    // Until the recording can be played, the button is disabled and not hidden, so that it keeps the keyboard
    // focus.
    button.disabled = !wave.isLive && !isPlayable
    button.hidden = !isPlayable && (!isHere || listen.recordingError !== undefined)
    setText(button, !wave.isLive ? 'Play recording' : isHeard ? 'Stop listening' : 'Listen in')
    button.classList.toggle('primary', wave.isLive && isHeard)
    button.setAttribute(
      'aria-label',
      !wave.isLive
        ? `Play recording of ${who}`
        : `${isHeard ? 'Stop listening' : 'Listen in'} to the call from ${who}`
    )
    button.onclick = () => (wave.isLive ? this.#on.hear(listen, this.call) : this.#on.play(listen))
  }

  #showProgress() {
    const steps = stepsOf(this.call, this.#legs, this.#recording)
    const list = this.element.querySelector('.steps')
    setText(this.element.querySelector('.facts'), factsOf(this.call, this.#legs, this.#gapMs).join(' · '))
    while (list.children.length > steps.length) list.lastElementChild.remove()
    for (const [index, { text, state }] of steps.entries()) {
      const element = list.children[index] ?? list.appendChild(document.createElement('li'))
      setText(element, text)
      element.className = state
      if (state.startsWith('now')) element.setAttribute('aria-current', 'step')
      else element.removeAttribute('aria-current')
    }
    setText(this.element.querySelector('.why'), steps.at(-1).why ?? '')
  }
}

function isMoving({ isLive, endedAt = -Infinity }, now) {
  return isLive || now - endedAt < AFTERMATH
}

function showParty(element, address) {
  setText(element, party(address))
  element.title = String(address ?? '').slice(0, 200)
}

function factsOf({ listens }, legs, gapMs) {
  const listen = listens.at(-1)
  const facts = []
  if (listen) facts.push(short(listen.metadata?.line ?? listen.path.slice(1)), format(listen))
  for (const { to, callStatus } of legs) {
    facts.push(callStatus === 'in-progress' ? `talks to ${party(to)}` : `${party(to)} ${short(callStatus)}`)
  }
  const missing = listen?.state === 'streaming' ? gapMs : listen?.audio.gapMs
  if (missing > 0) facts.push(`${length(missing)} missing`)
  return facts
}

/** Shows only the last keys, because a fax machine, for example, sends keys without end. */
function showKeys(list, keys) {
  const shown = [...keys].slice(-MOST_KEYS)
  if (list.dataset.keys === shown.join('')) return
  const before = Number(list.dataset.count ?? 0)
  list.dataset.keys = shown.join('')
  list.dataset.count = keys.length
  // Elements of earlier keys are kept, so that only a new key is animated.
  if (keys.length > MOST_KEYS || keys.length < before) list.replaceChildren()
  for (const key of shown.slice(list.children.length)) {
    list.append(Object.assign(document.createElement('kbd'), { textContent: short(key) }))
  }
}
