import { CallList } from './calls.js'
import { showAddresses } from './connect.js'
import { Ear } from './ear.js'
import { channelNames, party, setText } from './format.js'
import { RecordingList } from './recordings.js'
import { setUpSimulation } from './simulate.js'
import { openSocket } from './socket.js'

/** ms without a message after which the server counts as down; it sends at least one message per second */
const SILENCE = 6_000
/** maximum number of listens for which the server sends levels */
const MOST_WATCHED = 500
/** maximum number of new calls that are announced one by one to screen readers */
const FEW = 4
/** minimum ms between two frames that are drawn */
const FRAME = 30
const byId = (id) => document.getElementById(id)

export const ear = new Ear()
const calls = new CallList({ hear, play: ({ id }) => recordings.play(id), watch })
const recordings = new RecordingList(byId('recordings'), () => {
  deafen()
  animate()
})

let state
let isLost = false
let known = ''
let watched
// true: the next state is the first one on its socket, so it contains all calls
let isFirstState = true
// true: the audio that the user hears now is private, so it is not recorded
let isPrivate = false
let isAnimated = false
let drawnAt = 0

setUpSimulation(byId('simulate'))
const feed = openSocket('live', { open, lost, message }, SILENCE)
showAddresses(byId('connect'))
setInterval(() => {
  if (!isLost) calls.tick()
}, 500)
byId('older').addEventListener('click', showOlder)
byId('ear').querySelector('button').addEventListener('click', deafen)
byId('ear')
  .querySelector('input')
  .addEventListener('input', ({ target }) => {
    ear.setVolume(Number(target.value))
  })
addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') deafen()
})

function open() {
  isLost = false
  isFirstState = true
  watched = undefined
  showConnection()
  refreshRecordings()
}

function lost() {
  isLost = true
  showConnection()
}

function message(text) {
  const message = JSON.parse(text)
  if (message.type === 'state') {
    state = message
    if (isFirstState) calls.clear()
    isFirstState = false
    return showState()
  }
  calls.clockOffset = message.now - Date.now()
  calls.levels(message.streams, performance.now())
  isPrivate = message.streams[ear.id]?.isPrivate
  animate()
}

function showState() {
  const { instance, store } = state
  const added = calls.update(state)
  const live = calls.all.flatMap(({ listens }) => listens.filter((listen) => listen.state === 'streaming'))
  const here = live.filter((listen) => listen.instance === instance).length
  setText(
    byId('streams'),
    `${here} ${here === 1 ? 'stream' : 'streams'}${live.length > here ? `, ${live.length - here} elsewhere` : ''}`
  )
  setText(byId('store'), store.available ? 'store ready' : 'store away')
  byId('store').classList.toggle('bad', !store.available)
  setText(byId('instance'), instance)
  showConnection()
  for (const { from } of added.slice(0, FEW)) say(`${party(from)} calls`)
  document.title = live.length > 0 ? `(${live.length}) Desk` : 'Desk'
  if (ear.id && !live.some(({ id }) => id === ear.id)) deafen()
  const saved = calls.all.flatMap(({ listens }) => listens.map(({ recording }) => recording?.location)).join()
  if (saved !== known) refreshRecordings()
  known = saved
  showFirst()
}

/** Shows whether the page is connected to the server. */
function showConnection() {
  document.body.classList.toggle('lost', isLost)
  setText(byId('link'), isLost ? 'reconnecting' : 'connected')
  const notices = isLost
    ? ['The server does not answer. What you see is what was known last; this page comes back by itself.']
    : noticesOf(state)
  setText(byId('notice'), notices.join(' '))
  byId('notice').hidden = notices.length === 0
  byId('simulate').querySelector('button').disabled = isLost || state?.draining === true
}

function noticesOf({ draining, store } = { store: { available: true } }) {
  const notices = []
  if (!store.available) {
    notices.push(
      `The store of the calls is away: those of this instance go on and are recorded, those of others can't be seen.${store.pending > 0 ? ` To be written when it is back: ${store.pending}.` : ''}`
    )
  }
  if (draining) {
    const left = calls.all
      .flatMap(({ listens }) => listens)
      .filter((listen) => listen.state === 'streaming' && listen.instance === state.instance).length
    notices.push(
      `This instance is being shut down: it takes no new calls${left > 0 ? `, and waits for ${left} to end` : ''}.`
    )
  }
  return notices
}

async function refreshRecordings() {
  try {
    const isFirst = recordings.size === 0
    const added = await recordings.refresh()
    if (!isFirst && added.length === 1) say(`Recording of ${party(added[0].metadata?.caller)} saved`)
    showRecordings()
  } catch {
    // Ignored, because the page already shows that the server is down. The recordings are requested again
    // later.
  }
}

async function showOlder() {
  await recordings.showOlder().catch(() => {})
  showRecordings()
}

function showRecordings() {
  setText(
    document.querySelector('#recordings-title .count'),
    recordings.size > 0 ? `${recordings.size}${recordings.hasOlder ? '+' : ''}` : ''
  )
  byId('unrecorded').hidden = recordings.size > 0
  byId('older').hidden = !recordings.hasOlder
  calls.markPlayable(recordings.ids)
  showFirst()
}

/** Shows first steps as long as there are no calls and no recordings. */
function showFirst() {
  const isFirst = calls.all.length === 0 && recordings.size === 0
  if (!isFirst && document.body.classList.contains('first')) byId('connect').open = false
  document.body.classList.toggle('first', isFirst)
}

/** Listens in to a listen. If the user already listens to it, stops. */
function hear(listen, call) {
  if (listen.id === ear.id) return deafen()
  recordings.stop()
  ear.open(listen)
  calls.markHeard(listen.id)
  const bar = byId('ear')
  bar.hidden = false
  setText(bar.querySelector('.who'), party(call.from))
  setText(
    bar.querySelector('.what'),
    `, ${channelNames(listen).join(' left, ')}${channelNames(listen).length > 1 ? ' right' : ''}`
  )
  say(`Listening to ${party(call.from)}`)
  animate()
}

function deafen() {
  if (ear.id === undefined) return
  ear.close()
  calls.markHeard(undefined)
  byId('ear').hidden = true
}

/** Draws frame after frame, until nothing moves any more. */
function animate() {
  if (isAnimated) return
  isAnimated = true
  requestAnimationFrame((now) => {
    isAnimated = false
    if (now - drawnAt < FRAME) return animate()
    drawnAt = now
    const moving = [calls.draw(now), recordings.animate(), drawEar()]
    if (moving.includes(true)) animate()
  })
}

function drawEar() {
  if (ear.id === undefined) return false
  const { delay } = ear
  ear.draw(byId('ear').querySelector('canvas'))
  setText(
    byId('ear').querySelector('.delay'),
    isPrivate ? 'private now' : delay === undefined ? 'waiting' : `${Math.round(delay / 20) * 20} ms behind`
  )
  return true
}

/** Requests the levels of these listens from the server. */
function watch(ids) {
  const message = JSON.stringify({ watch: ids.slice(0, MOST_WATCHED) })
  if (message === watched || isFirstState) return
  watched = message
  feed.send(message)
}

function say(text) {
  setText(byId('spoken'), text)
}
