import { Archive } from './archive.js'
import { RecordingRow, rowsOf } from './recording.js'

/**
 * The list of recordings, with one player for all of them. `onPlay()` is called when a recording begins to
 * play.
 */
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

  /** ids of the listens in the list, whose recordings can be played */
  get ids() {
    return new Set([...this.#rows.values()].map(({ listen }) => listen.id))
  }

  /** true: there are older recordings that are not in the list yet */
  get hasOlder() {
    return this.#archive.hasOlder
  }

  /** Adds new recordings to the list. Resolves to the Listens of these recordings. */
  async refresh() {
    return this.#add(await this.#archive.newest())
  }

  async showOlder() {
    this.#add(await this.#archive.older())
  }

  /**
   * Moves the position of the recording that plays; called for each frame. Returns false if no recording is
   * playing.
   */
  animate() {
    if (this.#playing === undefined || this.#audio.paused) return false
    this.#playing.moved(this.#audio.currentTime)
    return true
  }

  stop() {
    this.#audio.pause()
  }

  /** Plays the recording of a listen from its start. */
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
    this.#audio.play().catch(() => {}) // the listener of 'error' shows the reason
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
