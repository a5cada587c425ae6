import { channelNames, ending, format, length, minutes, moment, party, setText, short } from './format.js'
import { peaksOf } from './peaks.js'
import { drawRecording } from './wave.js'

/** maximum bytes of a recording whose waveform is drawn before the user plays it */
const SMALL = 8_388_608
/** seconds by which an arrow key moves the position */
const STEP = 2

/**
 * Returns the rows for a listen, one per file. A listen that was handed over to another instance has several
 * files.
 */
export function rowsOf(listen) {
  const { recording, file } = listen
  const folder = file.slice(0, file.lastIndexOf('/') + 1)
  return (recording.segments ?? [recording]).map(
    ({ location, startedAt, durationMs, bytes }, index, { length }) => ({
      listen,
      index,
      file: index === 0 ? file : folder + location.split(/[/\\]/).at(-1),
      startedAt,
      durationMs,
      bytes,
      part: length > 1 ? `part ${index + 1} of ${length}` : undefined,
      marks: length > 1 ? [] : marksOf(recording)
    })
  )
}

function marksOf({ durationMs, pauses = [], gaps = [] }) {
  const mark = (kind, { atMs, durationMs: ms }, isInFile) => ({
    kind,
    at: atMs / durationMs,
    length: isInFile ? ms / durationMs : 0
  })
  return [
    ...pauses.map((pause) => mark('pause', pause, pause.mode === 'silence')),
    ...gaps.map((gap) => mark('gap', gap, gap.filled))
  ]
}

/** A recording in the list: its description, its waveform, and its position in the player. */
export class RecordingRow {
  element = document.getElementById('recording').content.firstElementChild.cloneNode(true)
  /** position of the playback, in seconds */
  position = 0
  url
  listen
  index
  #part
  #wave
  #canvas = this.element.querySelector('canvas')
  #button = this.element.querySelector('.play')
  #slider = this.element.querySelector('input')
  #length = this.element.querySelector('.length')

  /** `part`: an element of `rowsOf()`; `list`: the RecordingList whose player this row uses */
  constructor(part, list) {
    this.#part = part
    this.listen = part.listen
    this.index = part.index
    const { listen, file, startedAt, durationMs } = part
    const find = (selector) => this.element.querySelector(selector)
    const { caller = listen.callSid.slice(0, 8), callee, line = listen.path.slice(1) } = listen.metadata ?? {}
    const who = party(caller)
    this.url = `recordings/${file.split('/').map(encodeURIComponent).join('/')}`
    this.element.dataset.file = file
    setText(find('.from'), who)
    setText(find('.to'), callee ? `→ ${party(callee)}` : '')
    find('.parties').title = [caller, callee].filter(Boolean).join(' → ').slice(0, 200)
    setText(find('.facts'), [moment(startedAt), short(line), format(listen)].join(' · '))
    find('.notes').append(
      ...this.#notes().map(([text, kind = '']) =>
        Object.assign(document.createElement('span'), { className: kind, textContent: text })
      )
    )
    setText(this.#length, minutes(durationMs))
    this.#button.setAttribute('aria-label', `Play the recording of ${who}, ${moment(startedAt)}`)
    this.#button.onclick = () => list.toggle(this)
    this.#slider.max = durationMs / 1000
    this.#slider.setAttribute('aria-label', `Position in the recording of ${who}`)
    this.#slider.oninput = () => list.seek(this, Number(this.#slider.value))
    this.#slider.onkeydown = (event) => this.#key(event, list)
    const name = file.split('/').join(' ')
    Object.assign(find('.download'), {
      href: this.url,
      download: name,
      title: 'Download',
      ariaLabel: `Download the recording of ${who}, ${moment(startedAt)}`
    })
  }

  /** Draws the waveform, once. For a large file, this waits until the file is played. */
  async load(isPlayed = false) {
    if (this.#wave !== undefined || (this.#part.bytes > SMALL && !isPlayed)) return
    this.#wave = null
    try {
      this.#wave = await peaksOf(this.url)
      this.element.classList.add('drawn')
      this.#slider.title = channelNames(this.listen).slice(0, this.#wave.channels).join(' above, ')
      this.draw()
    } catch {
      this.failed('its file is not here')
    }
  }

  draw() {
    if (this.#wave) {
      drawRecording(
        this.#canvas,
        this.#wave,
        (this.position * 1000) / this.#part.durationMs,
        this.#part.marks
      )
    }
  }

  moved(seconds) {
    const { durationMs } = this.#part
    this.position = seconds
    if (document.activeElement !== this.#slider || Math.abs(this.#slider.value - seconds) > 0.15) {
      this.#slider.value = String(seconds)
    }
    this.#slider.setAttribute('aria-valuetext', `${minutes(seconds * 1000)} of ${minutes(durationMs)}`)
    setText(
      this.#length,
      seconds > 0 ? `${minutes(seconds * 1000)} / ${minutes(durationMs)}` : minutes(durationMs)
    )
    this.draw()
  }

  showPlaying({ paused, ended }) {
    this.#button.setAttribute('aria-pressed', String(!paused))
    if (ended) this.moved(0)
  }

  failed(why) {
    this.element
      .querySelector('.notes')
      .replaceChildren(
        Object.assign(document.createElement('span'), { className: 'failed', textContent: why })
      )
    this.#button.disabled = true
  }

  /**
   * Handles the space bar and the arrow keys while the slider has the focus. In a long recording, a step of
   * the slider itself would be too long.
   */
  #key(event, list) {
    const by = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key]
    if (event.key === ' ') list.toggle(this)
    else if (by) list.seek(this, Math.min(Math.max(0, this.position + by), this.#part.durationMs / 1000))
    else return
    event.preventDefault()
  }

  /** Returns notes on how the recording ended, and on what the marks in its waveform mean. */
  #notes() {
    const { part, marks } = this.#part
    const { recording } = this.listen
    const notes = [[part ?? ending(this.listen)]]
    const pauses = marks.filter(({ kind }) => kind === 'pause').length
    if (pauses > 0) notes.push([pauses === 1 ? 'paused once' : `paused ${pauses} times`, 'pause'])
    if (recording.gaps?.length > 0) {
      notes.push([
        `${length(recording.gaps.reduce((sum, { durationMs }) => sum + durationMs, 0))} missing`,
        'gap'
      ])
    }
    if (recording.state === 'partial') notes.push(['cut short: recording failed', 'failed'])
    if (recording.recovered) notes.push(['recovered after a crash'])
    return notes
  }
}
