import { Archive } from './archive.js'
import { RecordingRow, rowsOf } from './recording.js'

/** The list of recordings, and the one player they share. `onPlay()`: something begins to sound. */
export class RecordingList {
  #list
  #archive = new Archive()
  #rows = new Map()
  #audio = new Audio()
  #playing
  #onPlay
  #visible = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.#rows.get(target.dataset.file)?.load()
      }
    },
    { rootMargin: '200px' }
  )

  constructor(list, onPlay) {
    this.#list = list
    this.#onPlay = onPlay
    const draw = () => this.#rows.forEach((row) => row.draw())
    new ResizeObserver(draw).observe(list)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => requestAnimationFrame(draw))
    for (const event of ['play', 'pause', 'ended']) {
      this.#audio.addEventListener(event, () => this.#playing?.showPlaying(this.#audio))
    }
    this.#audio.addEventListener('error', () => this.#playing?.failed('can not be played'))
  }

  get size() {
    return this.#rows.size
  }

  /** Ids of the listens that can be played. */
  get ids() {
    return new Set([...this.#rows.values()].map(({ listen }) => listen.id))
  }

  /** There are older ones than are shown. */
  get hasOlder() {
    return this.#archive.hasOlder
  }

  /** Shows what is new. Resolves to the listens. */
  async refresh() {
    return this.#add(await this.#archive.newest())
  }

  async showOlder() {
    this.#add(await this.#archive.older())
  }

  /** Each frame: the playing one moves. Returns whether there is one. */
  animate() {
    if (this.#playing === undefined || this.#audio.paused) return false
    this.#playing.moved(this.#audio.currentTime)
    return true
  }

  stop() {
    this.#audio.pause()
  }

  /** Plays what was recorded of a listen, from its beginning. */
  play(listenId) {
    const row = [...this.#rows.values()].find(({ listen }) => listen.id === listenId)
    if (row === undefined) return
    this.seek(row, 0)
    if (this.#audio.paused) this.toggle(row)
    row.element.scrollIntoView({ block: 'nearest', behavior: 'smooth' })
  }

  toggle(row) {
    if (this.#playing === row && !this.#audio.paused) return this.stop()
    this.#load(row)
    if (this.#audio.ended) this.#audio.currentTime = 0
    this.#audio.play().catch(() => {}) // 'error' says why
    this.#onPlay()
  }

  seek(row, seconds) {
    this.#load(row)
    this.#audio.currentTime = seconds
    row.moved(seconds)
  }

  #load(row) {
    if (this.#playing === row) return
    this.stop()
    this.#playing?.showPlaying(this.#audio)
    this.#playing = row
    this.#audio.src = row.url
    this.#audio.currentTime = row.position
    row.load(true)
  }

  #add(listens) {
    for (const part of listens.flatMap(rowsOf)) this.#rows.set(part.file, new RecordingRow(part, this))
    const rows = [...this.#rows.values()].sort((a, b) =>
      a.listen.file === b.listen.file ? a.index - b.index : a.listen.file < b.listen.file ? 1 : -1
    )
    for (const [index, { element }] of rows.entries()) {
      if (this.#list.children[index] !== element) {
        this.#list.insertBefore(element, this.#list.children[index] ?? null)
      }
      this.#visible.observe(element)
    }
    return listens
  }
}
