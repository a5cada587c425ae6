import { channelNames, clock, ending, FAILURES, format, length, minutes, setText } from './format.js'
import { LiveWave } from './wave.js'

/** ms in which the meters of an ended stream fall to nothing */
const AFTERMATH = 1_600

/** Makes and updates the list of live calls. `onHear(listen, call)`: somebody wants to listen in. */
export class CallList {
  /** ms that the server's clock is ahead of ours */
  clockOffset = 0
  #list
  #onHear
  #items = new Map()
  #waves = new Map()
  #heard

  constructor (list, onHear) {
    this.#list = list
    this.#onHear = onHear
  }

  get size () {
    return this.#items.size
  }

  /** The calls as the store has them, newest first; `instance`: whose page this is. */
  update (calls, instance) {
    const legs = Map.groupBy(calls.filter(({ parentCallSid }) => parentCallSid), ({ parentCallSid }) => parentCallSid)
    const shown = calls.filter(({ parentCallSid }) => !parentCallSid)
    for (const [index, call] of shown.entries()) {
      const item = this.#items.get(call.callSid) ?? this.#add(call)
      this.#show(item, call, legs.get(call.callSid) ?? [], instance)
      if (this.#list.children[index] !== item.element) this.#list.insertBefore(item.element, this.#list.children[index] ?? null)
    }
    const sids = new Set(shown.map(({ callSid }) => callSid))
    for (const [callSid, item] of this.#items) {
      if (!sids.has(callSid)) this.#remove(callSid, item)
    }
    this.tick()
  }

  /** Levels of this instance's streams, by listen. */
  levels (levels, at) {
    for (const [id, values] of Object.entries(levels)) {
      const wave = this.#waves.get(id)
      wave?.push(values, at)
      const step = wave?.item.steps.querySelector('[aria-current]')
      if (step && wave.live) markPrivate(step, values[0] === 1)
    }
  }

  /** Which listen is heard now, if any. */
  markHeard (id) {
    this.#heard = id
    for (const { listens } of this.#items.values()) {
      for (const [listenId, { button }] of listens) showHeard(button, listenId === id)
    }
  }

  /** Returns whether anything moves. */
  draw (now) {
    const moving = [...this.#waves.values()].filter((wave) => wave.live || now - wave.endedAt < AFTERMATH)
    for (const wave of moving) wave.draw(now)
    return moving.length > 0
  }

  /** Once a second: times run. */
  tick () {
    for (const { call, since } of this.#items.values()) {
      const end = call.endedAt ? Date.parse(call.endedAt) : Date.now() + this.clockOffset
      setText(since, minutes(end - Date.parse(call.createdAt)))
    }
  }

  #add (call) {
    const element = document.getElementById('call').content.firstElementChild.cloneNode(true)
    const find = (selector) => element.querySelector(selector)
    const item = { element, listens: new Map(), from: find('.from'), to: find('.to'), facts: find('.facts'), audio: find('.audio'), since: find('.since'), steps: find('.steps'), keys: find('.keys') }
    this.#items.set(call.callSid, item)
    return item
  }

  #remove (callSid, item) {
    item.element.remove()
    for (const id of item.listens.keys()) this.#waves.delete(id)
    this.#items.delete(callSid)
  }

  #show (item, call, legs, instance) {
    item.call = call
    item.element.classList.toggle('over', call.endedAt !== undefined)
    setText(item.from, call.from ?? 'unknown')
    setText(item.to, call.to ?? call.callSid.slice(0, 8))
    const listen = call.listens.at(-1)
    setText(item.facts, factsOf(call, listen, legs).join(' · '))
    for (const listen of call.listens) {
      if (listen.connected) this.#showListen(item, listen, call, instance)
    }
    showSteps(item.steps, stepsOf(call, legs))
    showKeys(item.keys, String(call.data.keys ?? ''))
  }

  #showListen (item, listen, call, instance) {
    const shown = item.listens.get(listen.id) ?? this.#addListen(item, listen)
    const live = listen.state === 'streaming'
    const here = listen.instance === instance
    if (shown.wave.live && !live) shown.wave.endedAt = performance.now()
    shown.wave.live = live
    shown.element.classList.toggle('live', live)
    shown.element.hidden = !live && (shown.wave.isEmpty || call.listens.some(({ state }) => state === 'streaming'))
    shown.canvas.hidden = shown.lanes.hidden = !here
    shown.button.hidden = !here
    shown.elsewhere.hidden = here || !live
    setText(shown.elsewhere, `Its audio is at ${listen.instance}`)
    shown.button.onclick = () => this.#onHear(listen, call)
    shown.button.setAttribute('aria-label', `Listen in to the call from ${call.from ?? 'unknown'}`)
  }

  #addListen (item, listen) {
    const element = document.getElementById('listen').content.firstElementChild.cloneNode(true)
    const canvas = element.querySelector('canvas')
    const button = element.querySelector('.hear')
    const lanes = element.querySelector('.lanes')
    lanes.append(...channelNames(listen).map((name) => Object.assign(document.createElement('span'), { textContent: name })))
    item.audio.append(element)
    const shown = { element, canvas, lanes, button, elsewhere: element.querySelector('.elsewhere'), wave: Object.assign(new LiveWave(canvas, listen.channels), { item }) }
    showHeard(button, listen.id === this.#heard)
    this.#waves.set(listen.id, shown.wave)
    item.listens.set(listen.id, shown)
    return shown
  }
}

function showHeard (button, heard) {
  button.setAttribute('aria-pressed', String(heard))
  setText(button, heard ? 'Stop listening' : 'Listen in')
}

function factsOf ({ data }, listen, legs) {
  const facts = []
  if (listen) facts.push(String(listen.metadata?.line ?? listen.path.slice(1)), format(listen))
  for (const { to, callStatus } of legs) facts.push(callStatus === 'in-progress' ? `talks to ${to}` : `${to}: ${callStatus}`)
  if (data.agent && listen?.state === 'streaming') facts.push(`agent ${data.agent}`)
  if (listen?.audio.gapMs > 0) facts.push(`${length(listen.audio.gapMs)} missing`)
  return facts
}

/** Webhook, audio, hook, recording: what has been, what is now, what comes. */
function stepsOf ({ createdAt, endedAt, callStatus, listens }, legs) {
  const listen = listens.at(-1)
  const steps = [{ text: `Called ${clock(createdAt)}`, state: 'done' }]
  if (!listen) {
    const state = endedAt ? 'failed' : 'now'
    return [...steps, { text: endedAt ? `${callStatus}, nothing to listen to` : 'Answering', state }, ...next('Listening', 'Recording')]
  }
  if (listen.state === 'expected') return [...steps, { text: legs.length > 0 ? 'Ringing' : 'Greeting', state: 'now' }, ...next('Listening', 'Recording')]
  if (listen.state === 'streaming') return [...steps, { text: 'Listening', state: 'now' }, ...next('Ends', 'Recording')]
  steps.push({ text: `Listened ${length(listen.audio.durationMs)}`, state: 'done' })
  steps.push({ text: ending(listen), state: FAILURES.includes(listen.endReason) ? 'failed' : 'done' })
  if (listen.recording) steps.push({ text: `Recorded ${length(listen.recording.durationMs)}`, state: 'done' })
  else if (listen.recordingError) steps.push({ text: 'Recording failed', state: 'failed', title: listen.recordingError })
  return steps
}

function next (...texts) {
  return texts.map((text) => ({ text, state: 'next' }))
}

function showSteps (list, steps) {
  while (list.children.length > steps.length) list.lastElementChild.remove()
  for (const [index, { text, state, title = '' }] of steps.entries()) {
    const element = list.children[index] ?? list.appendChild(document.createElement('li'))
    // What the levels said of privacy stays until they say otherwise.
    if (!(text === 'Listening' && element.classList.contains('private'))) {
      setText(element, text)
      element.className = state
    }
    element.title = title
    if (state === 'now') element.setAttribute('aria-current', 'step')
    else element.removeAttribute('aria-current')
  }
}

/** The application has paused the recording: nobody hears it either. */
function markPrivate (step, isPrivate) {
  step.classList.toggle('private', isPrivate)
  setText(step, isPrivate ? 'Listening, not recorded' : 'Listening')
}

function showKeys (list, keys) {
  for (const key of [...keys].slice(list.children.length)) list.append(Object.assign(document.createElement('kbd'), { textContent: key }))
}
