import { CallList } from './calls.js'
import { Ear } from './ear.js'
import { openFeed } from './feed.js'
import { setText } from './format.js'
import { RecordingList } from './recordings.js'
import { setUpSimulation } from './simulate.js'

const LINES = { voicemail: 'Voicemail', monitor: 'Monitor', agent: 'Agent', status: 'Status, of all of them' }
const byId = (id) => document.getElementById(id)

export const ear = new Ear()
const calls = new CallList(byId('calls'), (listen, call) => listen.id === ear.call?.listen.id ? deafen() : hear(listen, call))
const recordings = new RecordingList(byId('recordings'), () => {
  deafen()
  animate()
})
const send = openFeed({ open, lost, message, audio: (frame) => { if (heard) ear.play(frame) } })

let state = { calls: [] }
let known = ''
// The listen whose audio the server sends now: it says so before the first frame.
let heard
let animated = false

setUpSimulation(byId('simulate'))
setInterval(() => calls.tick(), 500)

function message (message) {
  switch (message.type) {
    case 'hello':
      calls.clockOffset = message.now - Date.now()
      return connectAddresses(message.url)
    case 'levels':
      calls.levels(message.levels, performance.now())
      return animate()
    case 'listening':
      heard = message.id !== null && message.id === ear.call?.listen.id
      return
    case 'state':
      state = message
      return showState()
  }
}

function open () {
  document.body.classList.remove('lost')
  setText(byId('link'), 'connected')
  if (ear.call) send({ listen: ear.call.listen.id })
  refreshRecordings()
}

function lost () {
  heard = false
  document.body.classList.add('lost')
  setText(byId('link'), 'reconnecting')
}

function showState () {
  const { instance, draining, kind, store } = state
  const live = state.calls.flatMap(({ listens }) => listens.filter((listen) => listen.state === 'streaming'))
  const here = live.filter((listen) => listen.instance === instance).length
  setText(byId('streams'), `${here} ${here === 1 ? 'stream' : 'streams'}${live.length > here ? `, ${live.length - here} elsewhere` : ''}`)
  setText(byId('store'), store.available ? `${kind} store` : `${kind} is away, ${store.pending} to write`)
  byId('store').className = store.available ? '' : 'bad'
  setText(byId('instance'), instance)
  const notice = byId('notice')
  notice.hidden = !draining
  setText(notice, draining ? `This instance is being shut down: it takes no new calls, and ${here > 0 ? `waits for ${here} to end` : 'none are left'}.` : '')
  calls.update(state.calls, instance)
  setText(document.querySelector('#calls-title .count'), calls.size > 0 ? String(calls.size) : '')
  byId('nobody').hidden = calls.size > 0
  document.title = live.length > 0 ? `(${live.length}) Desk` : 'Desk'
  if (ear.call && !live.some(({ id }) => id === ear.call.listen.id)) deafen()
  const saved = state.calls.flatMap(({ listens }) => listens.map(({ recording }) => recording?.location)).join()
  if (saved !== known) refreshRecordings()
  known = saved
  showFirst()
}

async function refreshRecordings () {
  try {
    const before = recordings.size
    const added = await recordings.refresh()
    if (before > 0 && added.length === 1) say(`Recording of ${added[0].listen.metadata?.caller ?? 'a call'} saved`)
  } catch {
    // The feed says it when the server is away, and asks again when it is back.
  }
  setText(document.querySelector('#recordings-title .count'), recordings.size > 0 ? String(recordings.size) : '')
  byId('unrecorded').hidden = recordings.size > 0
  showFirst()
}

/** Nothing has ever happened here: the page says what can be done. */
function showFirst () {
  const first = calls.size === 0 && recordings.size === 0
  if (!first && document.body.classList.contains('first')) byId('connect').open = false
  document.body.classList.toggle('first', first)
}

function hear (listen, call) {
  recordings.stop()
  ear.open({ listen, call }, listen)
  heard = false
  send({ listen: listen.id })
  calls.markHeard(listen.id)
  byId('ear').hidden = false
  setText(byId('ear').querySelector('.who'), call.from ?? 'unknown')
  say(`Listening to ${call.from ?? 'unknown'}`)
  animate()
}

function deafen () {
  if (ear.call === undefined) return
  ear.close()
  heard = false
  send({ listen: null })
  calls.markHeard(undefined)
  byId('ear').hidden = true
}

byId('ear').querySelector('button').addEventListener('click', deafen)
byId('ear').querySelector('input').addEventListener('input', ({ target }) => { ear.setVolume(Number(target.value)) })
addEventListener('keydown', ({ key }) => { if (key === 'Escape') deafen() })

/** Draws, frame after frame, for as long as anything moves. */
function animate () {
  if (animated) return
  animated = true
  requestAnimationFrame((now) => {
    animated = false
    const moving = [calls.draw(now), recordings.animate(), drawEar()]
    if (moving.includes(true)) animate()
  })
}

function drawEar () {
  if (ear.call === undefined) return false
  ear.draw(byId('ear').querySelector('canvas'))
  setText(byId('ear').querySelector('.delay'), heard ? `${Math.round(ear.delay * 1000 / 20) * 20} ms behind` : 'waiting')
  return true
}

function connectAddresses (url = location.origin) {
  const origin = url.replace(/\/$/, '')
  const list = byId('connect').querySelector('dl')
  list.replaceChildren(...Object.entries(LINES).flatMap(([path, name]) => {
    const address = `${origin}/${path}`
    const term = Object.assign(document.createElement('dt'), { textContent: name })
    const code = Object.assign(document.createElement('code'), { textContent: address })
    const copy = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Copy', ariaLabel: `Copy ${address}` })
    copy.onclick = async () => {
      await navigator.clipboard?.writeText(address)
      copy.textContent = 'Copied'
      setTimeout(() => { copy.textContent = 'Copy' }, 1_500)
    }
    const value = document.createElement('dd')
    value.append(code, copy)
    return [term, value]
  }))
  byId('connect').querySelector('.reach').hidden = !/\/\/(?:127\.|localhost|\[::1\])/.test(origin)
}

function say (text) {
  byId('spoken').textContent = text
}
