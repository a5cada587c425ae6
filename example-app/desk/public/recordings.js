import { channelNames, ending, format, length, minutes, moment, setText } from './format.js'
import { peaksOf } from './peaks.js'
import { drawRecording } from './wave.js'

/** bytes of a recording whose waveform is drawn before anybody plays it */
const SMALL = 8_388_608

/** The list of recordings, and the one player they share. `onPlay()`: something begins to sound. */
export class RecordingList {
  #list
  #items = new Map()
  #audio = new Audio()
  #playing
  #visible
  #onPlay

  constructor (list, onPlay) {
    this.#list = list
    this.#onPlay = onPlay
    this.#visible = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.#items.get(target.dataset.file)?.show()
      }
    }, { rootMargin: '200px' })
    new ResizeObserver(() => this.draw()).observe(list)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => requestAnimationFrame(() => this.draw()))
    for (const event of ['play', 'pause', 'ended']) this.#audio.addEventListener(event, () => this.#playing?.showPlaying(this.#audio))
    this.#audio.addEventListener('error', () => this.#playing?.failed('can not be played'))
  }

  get size () {
    return this.#items.size
  }

  /** Asks the server. Resolves to the sidecars that are new since the last time. */
  async refresh () {
    const response = await fetch('recordings')
    if (!response.ok) throw new Error(`recordings: status ${response.status}`)
    const rows = (await response.json()).flatMap(rowsOf)
    const added = rows.filter(({ file }) => !this.#items.has(file))
    for (const row of added) {
      const item = new Item(row, this)
      this.#items.set(row.file, item)
    }
    const files = new Set(rows.map(({ file }) => file))
    for (const [file, { element }] of this.#items) {
      if (files.has(file)) continue
      element.remove()
      this.#items.delete(file)
    }
    for (const [index, { file }] of rows.entries()) {
      const { element } = this.#items.get(file)
      if (this.#list.children[index] !== element) this.#list.insertBefore(element, this.#list.children[index] ?? null)
      this.#visible.observe(element)
    }
    return added
  }

  /** Each frame: the playing one moves. Returns whether there is one. */
  animate () {
    if (this.#playing === undefined || this.#audio.paused) return false
    this.#playing.moved(this.#audio.currentTime)
    return true
  }

  draw () {
    for (const item of this.#items.values()) item.draw()
  }

  stop () {
    this.#audio.pause()
  }

  toggle (item) {
    if (this.#playing === item && !this.#audio.paused) return this.#audio.pause()
    this.#load(item)
    if (this.#audio.ended) this.#audio.currentTime = 0
    this.#audio.play().catch(() => {})
    this.#onPlay()
  }

  seek (item, seconds) {
    this.#load(item)
    this.#audio.currentTime = seconds
    item.moved(seconds)
  }

  #load (item) {
    if (this.#playing === item) return
    this.#audio.pause()
    this.#playing?.showPlaying(this.#audio)
    this.#playing = item
    this.#audio.src = item.url
    this.#audio.currentTime = item.position
    item.show(true)
  }
}

/** One file each: a listen that was handed over to another instance has several. */
function rowsOf (listen) {
  const { recording, file } = listen
  const folder = file.slice(0, file.lastIndexOf('/') + 1)
  return (recording.segments ?? [recording]).map((part, index, parts) => ({
    listen,
    file: folder + part.location.split(/[/\\]/).at(-1),
    startedAt: part.startedAt,
    durationMs: part.durationMs,
    bytes: part.bytes,
    part: parts.length > 1 ? `part ${index + 1} of ${parts.length}` : undefined,
    marks: parts.length > 1 ? [] : marksOf(recording)
  }))
}

function marksOf ({ durationMs, pauses = [], gaps = [] }) {
  const mark = (kind, inFile) => ({ atMs, durationMs: ms }) => ({ kind, at: atMs / durationMs, length: inFile ? ms / durationMs : 0 })
  return [
    ...pauses.map((pause) => mark('pause', pause.mode === 'silence')(pause)),
    ...gaps.map((gap) => mark('gap', gap.filled)(gap))
  ]
}

class Item {
  element = document.getElementById('recording').content.firstElementChild.cloneNode(true)
  position = 0
  url
  #row
  #canvas = this.element.querySelector('canvas')
  #button = this.element.querySelector('.play')
  #slider = this.element.querySelector('input')
  #length = this.element.querySelector('.length')
  #facts = this.element.querySelector('.facts')
  #wave

  constructor (row, list) {
    this.#row = row
    const { listen, file, startedAt, durationMs } = row
    const who = String(listen.metadata?.caller ?? listen.callSid.slice(0, 8))
    this.url = `recordings/${file.split('/').map(encodeURIComponent).join('/')}`
    this.element.dataset.file = file
    setText(this.element.querySelector('.from'), who)
    setText(this.#facts, this.#describe().join(' · '))
    setText(this.#length, minutes(durationMs))
    this.#button.setAttribute('aria-label', `Play the recording of ${who}, ${moment(startedAt)}`)
    this.#button.onclick = () => list.toggle(this)
    Object.assign(this.#slider, { max: durationMs / 1000, ariaLabel: 'Position', oninput: () => list.seek(this, Number(this.#slider.value)) })
    const link = this.element.querySelector('.download')
    Object.assign(link, { href: this.url, download: file.split('/').join(' '), ariaLabel: `Download the recording of ${who}`, title: 'Download' })
  }

  #describe () {
    const { listen, startedAt, marks, part } = this.#row
    const { recording } = listen
    const facts = [moment(startedAt), String(listen.metadata?.line ?? listen.path.slice(1)), format(listen), ending(listen)]
    const pauses = marks.filter(({ kind }) => kind === 'pause').length
    if (part) facts.push(part)
    if (pauses > 0) facts.push(pauses === 1 ? 'paused once' : `paused ${pauses} times`)
    if (recording.gaps?.length > 0) facts.push(`${length(recording.gaps.reduce((sum, { durationMs }) => sum + durationMs, 0))} missing`)
    if (recording.recovered) facts.push('recovered after a crash')
    return facts
  }

  /** Draws the waveform, once; of large files only when they are played. */
  async show (played = false) {
    if (this.#wave !== undefined || (this.#row.bytes > SMALL && !played)) return
    this.#wave = null
    try {
      this.#wave = await peaksOf(this.url)
      this.element.classList.add('drawn')
      this.element.title = channelNames(this.#row.listen).join(' above, ')
      this.draw()
    } catch {
      this.failed('its file is not here')
    }
  }

  draw () {
    if (this.#wave) drawRecording(this.#canvas, this.#wave, this.position * 1000 / this.#row.durationMs, this.#row.marks)
  }

  moved (seconds) {
    this.position = seconds
    if (document.activeElement !== this.#slider || Math.abs(this.#slider.value - seconds) > 0.15) this.#slider.value = String(seconds)
    this.#slider.setAttribute('aria-valuetext', minutes(seconds * 1000))
    setText(this.#length, seconds > 0 ? `${minutes(seconds * 1000)} / ${minutes(this.#row.durationMs)}` : minutes(this.#row.durationMs))
    this.draw()
  }

  showPlaying ({ paused, ended }) {
    this.#button.setAttribute('aria-pressed', String(!paused))
    if (ended) this.moved(0)
  }

  failed (why) {
    setText(this.#facts, [...this.#describe(), why].join(' · '))
    this.element.classList.add('failed')
    this.#button.disabled = true
  }
}
