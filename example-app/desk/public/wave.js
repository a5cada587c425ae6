/** width of a column (COLUMN), and distance of two columns (PITCH), in CSS px */
const COLUMN = 2
const PITCH = 3
/** number of columns per second that the server sends (RATE), and number of columns to keep (KEPT) */
const RATE = 20
const KEPT = 800
const METER = 5
const METER_GAP = 8
/** height in CSS px of the thin lane that shows when the agent speaks */
const AGENT_LANE = 14
/** range of the meter in dB */
const RANGE = 54
/** ms in which the meter falls from maximum to zero */
const FALL = 1_500

/** Returns the height to draw for a sample. Small samples are raised, so that quiet speech is visible. */
const lifted = (byte) => Math.sign(byte) * Math.abs(byte / 128) ** 0.62

/**
 * Sizes a canvas for its box and the density of the screen. Returns its cleared 2d context, whose unit is CSS
 * px.
 */
export function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas
  const density = window.devicePixelRatio
  if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
    canvas.width = Math.round(width * density)
    canvas.height = Math.round(height * density)
  }
  const context = canvas.getContext('2d')
  context.setTransform(density, 0, 0, density, 0, 0)
  context.clearRect(0, 0, width, height)
  return { context, width, height }
}

let colours
export function palette() {
  if (colours) return colours
  const style = getComputedStyle(document.documentElement)
  const of = (name) => style.getPropertyValue(`--${name}`).trim()
  colours = {
    channels: [of('caller'), of('callee')],
    ink: of('ink'),
    line: of('line'),
    muted: of('muted'),
    warn: of('warn'),
    bad: of('bad')
  }
  return colours
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  colours = undefined
})
const still = matchMedia('(prefers-reduced-motion: reduce)')

/**
 * Draws the last seconds of a live stream: a lane with a meter for each channel. `hasAgent`: one more, thin
 * lane shows when the agent speaks.
 */
export class LiveWave {
  #canvas
  #hasAgent
  #columns = []
  #levels
  #gapMs
  #at = 0
  #drawnAt = 0

  constructor(canvas, channels, hasAgent) {
    this.#canvas = canvas
    this.#hasAgent = hasAgent
    this.#levels = Array.from({ length: channels }, () => ({ now: 0, peak: 0, peakAt: 0 }))
  }

  get isEmpty() {
    return this.#columns.length === 0
  }

  /**
   * Adds a column for the latest levels. `isPrivate`: the audio is private; `peaks`: lowest and highest
   * sample of each channel, as bytes.
   */
  push({ isPrivate, isSpokenTo, gapMs, peaks }, at) {
    const isGap = this.#gapMs !== undefined && gapMs > this.#gapMs
    this.#gapMs = gapMs
    this.#columns.unshift({ isPaused: isPrivate, isSpokenTo, isGap, peaks })
    if (this.#columns.length > KEPT) this.#columns.length = KEPT
    this.#at = at
    for (const [channel, level] of this.#levels.entries()) {
      const [low, high] = peaks[channel]
      const loudest = Math.max(-low, high) / 128
      const share = loudest === 0 ? 0 : Math.max(0, 1 + (20 * Math.log10(loudest)) / RANGE)
      level.now = Math.max(level.now, share)
      if (share >= level.peak || at - level.peakAt > FALL) Object.assign(level, { peak: share, peakAt: at })
    }
  }

  draw(now) {
    const { context, width, height: whole } = prepare(this.#canvas)
    const { channels, line, muted, warn } = palette()
    const height = this.#hasAgent ? whole - AGENT_LANE : whole
    const right = width - METER - METER_GAP
    const shift = still.matches ? 0 : Math.min(1, ((now - this.#at) * RATE) / 1000) * PITCH
    const lane = height / this.#levels.length
    context.save()
    context.beginPath()
    context.rect(0, 0, right, whole)
    context.clip()
    for (const channel of this.#levels.keys()) {
      const middle = lane * (channel + 0.5)
      const half = lane / 2 - 2
      context.fillStyle = line
      context.fillRect(0, middle - 0.5, right, 1)
      for (const [index, { isPaused, isGap, peaks }] of this.#columns.entries()) {
        const x = right - shift - index * PITCH
        if (x < -PITCH) break
        context.fillStyle = isGap ? warn : isPaused ? muted : channels[channel]
        if (isPaused) dim(context, x, middle, half)
        else if (isGap) context.fillRect(x, middle - half, COLUMN, half * 2)
        else bar(context, x, middle, half, ...peaks[channel])
      }
    }
    if (this.#hasAgent) this.#agent(context, right, shift, height + AGENT_LANE / 2)
    context.restore()
    for (const channel of this.#levels.keys()) {
      this.#meter(context, width - METER, lane * channel + 2, lane - 4, channel, now)
    }
    this.#drawnAt = now
  }

  #agent(context, right, shift, middle) {
    const { channels, line } = palette()
    context.fillStyle = line
    context.fillRect(0, middle - 0.5, right, 1)
    context.fillStyle = channels[1]
    const count = Math.min(this.#columns.length, Math.ceil(right / PITCH) + 1)
    for (let from = 0, to = 0; to <= count; to++) {
      if (to < count && this.#columns[to].isSpokenTo) continue
      // These columns are drawn as one rectangle, because on some screens gaps would be visible between
      // several rectangles.
      if (to > from) context.fillRect(right - shift - to * PITCH, middle - 2.5, (to - from) * PITCH, 5)
      from = to + 1
    }
  }

  #meter(context, x, y, height, channel, now) {
    const { channels, line, bad } = palette()
    const level = this.#levels[channel]
    level.now = Math.max(0, level.now - Math.min(100, now - this.#drawnAt) / FALL)
    context.fillStyle = line
    context.fillRect(x, y, METER, height)
    context.fillStyle = channels[channel]
    context.fillRect(x, y + height * (1 - level.now), METER, height * level.now)
    if (level.peak > 0 && now - level.peakAt < FALL) {
      context.fillStyle = level.peak > 0.98 ? bad : channels[channel]
      context.fillRect(x, y + (height - 1.5) * (1 - level.peak), METER, 1.5)
    }
  }
}

function dim(context, x, middle, half) {
  context.globalAlpha = 0.16
  context.fillRect(x, middle - half, PITCH, half * 2)
  context.globalAlpha = 1
}

function bar(context, x, middle, half, low, high) {
  const top = middle - Math.max(0.5, lifted(high) * half)
  const bottom = middle + Math.max(0.5, -lifted(low) * half)
  context.fillRect(x, top, COLUMN, bottom - top)
}

/**
 * Draws a whole recording. `played`: the played part, from 0 to 1. `marks`: pauses and gaps as { at, length,
 * kind: 'pause' | 'gap' }, where `at` and `length` are parts of the whole, from 0 to 1.
 */
export function drawRecording(canvas, { peaks, channels }, played, marks) {
  const { context, width, height } = prepare(canvas)
  const { channels: inks, ink, muted, warn } = palette()
  const lane = height / channels
  const count = Math.floor(width / PITCH)
  const columns = peaks.length / channels / 2
  for (let index = 0; index < count; index++) {
    const from = Math.floor((index * columns) / count)
    const to = Math.max(from + 1, Math.floor(((index + 1) * columns) / count))
    context.globalAlpha = (index + 0.5) / count <= played ? 1 : 0.42
    for (let channel = 0; channel < channels; channel++) {
      let low = 0
      let high = 0
      for (let column = from; column < to; column++) {
        low = Math.min(low, peaks[(column * channels + channel) * 2])
        high = Math.max(high, peaks[(column * channels + channel) * 2 + 1])
      }
      context.fillStyle = inks[channel]
      bar(context, index * PITCH, lane * (channel + 0.5), lane / 2 - 1, low, high)
    }
  }
  for (const { at, length, kind } of marks) {
    const x = Math.min(at * width, width - 2)
    const w = Math.max(2, length * width)
    context.fillStyle = kind === 'gap' ? warn : muted
    context.globalAlpha = 0.16
    context.fillRect(x, 0, w, height)
    context.globalAlpha = 0.8
    context.fillRect(x, 0, 1, height)
    context.fillRect(x + w - 1, 0, 1, height)
  }
  context.globalAlpha = 1
  context.fillStyle = ink
  if (played > 0) context.fillRect(Math.min(width - 1, played * width), 0, 1, height)
}
