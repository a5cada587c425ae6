import { minutes, party, setText } from './format.js'
import { CallRow } from './row.js'

/** number of rows to show first, and to add with each click */
const PAGE = 100
/** number of live calls from which on the search field is visible */
const MANY = 12
const byId = (id) => document.getElementById(id)

/**
 * Creates and updates the rows of live calls, and of calls that have just ended. It calls `on.hear(listen,
 * call)` if the user wants to listen in, `on.play(listen)` if the user wants to play a recording, and
 * `on.watch(ids)` with the listens whose levels are visible.
 */
export class CallList {
  /** ms by which the clock of the server is ahead of the browser's clock */
  clockOffset = 0
  #on
  #lists = { live: byId('calls'), over: byId('over') }
  /** all calls that the server has reported, by callSid */
  #calls = new Map()
  #rows = new Map()
  #instance
  #limit = PAGE
  #search = ''
  #heard
  #playable = new Set()
  #visible = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const row = this.#rows.get(target.dataset.callSid)
      if (row) row.isVisible = isIntersecting
    }
    this.#watch()
  })

  constructor(on) {
    this.#on = on
    byId('more').addEventListener('click', () => {
      this.#limit += PAGE
      this.#show()
    })
    byId('find').addEventListener('input', ({ target }) => {
      this.#search = target.value.trim().toLowerCase()
      this.#show()
    })
  }

  /** all calls, including those that have just ended */
  get all() {
    return [...this.#calls.values()]
  }

  /** Removes all calls, because the next message of the server contains all calls. */
  clear() {
    this.#calls.clear()
  }

  /**
   * Applies the changes from a message of the server. `instance`: the instance that serves this page. Returns
   * the new calls.
   */
  update({ calls, gone, instance }) {
    this.#instance = instance
    const added = calls.filter(({ callSid, parentCallSid }) => !parentCallSid && !this.#calls.has(callSid))
    for (const call of calls) this.#calls.set(call.callSid, call)
    for (const callSid of gone) this.#calls.delete(callSid)
    this.#show()
    return added
  }

  #show() {
    const legs = Map.groupBy(
      this.all.filter(({ parentCallSid }) => parentCallSid),
      ({ parentCallSid }) => parentCallSid
    )
    const calls = this.all
      .filter(({ parentCallSid }) => !parentCallSid)
      .sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0))
    const live = calls.filter(({ isOver }) => !isOver)
    const found = live.filter((call) => this.#isFound(call))
    const over = calls.filter(({ isOver }) => isOver)
    const shown = { live: found.slice(0, this.#limit), over: over.slice(0, PAGE) }
    const sids = new Set([...shown.live, ...shown.over].map(({ callSid }) => callSid))
    for (const [callSid, row] of this.#rows) {
      if (!sids.has(callSid)) this.#remove(callSid, row)
    }
    for (const [name, list] of Object.entries(this.#lists)) {
      for (const [index, call] of shown[name].entries()) {
        const row = this.#rows.get(call.callSid) ?? this.#add(call.callSid)
        row.show(call, legs.get(call.callSid) ?? [], this.#instance)
        place(list, row.element, index)
      }
    }
    setText(document.querySelector('#calls-title .count'), live.length > 0 ? String(live.length) : '')
    byId('ended').hidden = over.length === 0
    byId('nobody').hidden = live.length > 0
    byId('find').parentElement.hidden = live.length < MANY && this.#search === ''
    byId('unfound').hidden = live.length === 0 || found.length > 0
    byId('more').hidden = found.length <= this.#limit
    setText(byId('more'), `Show more of the other ${found.length - this.#limit}`)
    this.tick()
    this.#watch()
  }

  #isFound({ from, to, listens }) {
    if (this.#search === '') return true
    const texts = [party(from), party(to), ...listens.map(({ metadata, path }) => metadata?.line ?? path)]
    return texts.some((text) => String(text).toLowerCase().includes(this.#search))
  }

  /** Shows the levels of the streams on this instance. `streams`: levels by listen id. */
  levels(streams, at) {
    for (const row of this.#rows.values()) row.levels(streams, at)
  }

  /** Marks the listen to which the user listens now; undefined: no listen. */
  markHeard(id) {
    this.#heard = id
    for (const row of this.#rows.values()) row.markHeard(id)
    this.#watch()
  }

  /** Marks the listens whose recording can be played. */
  markPlayable(ids) {
    this.#playable = ids
    for (const row of this.#rows.values()) row.markPlayable(ids)
  }

  /** Draws the visible rows. Returns true as long as something moves. */
  draw(now) {
    const moving = [...this.#rows.values()].filter((row) => row.isVisible && row.isMoving(now))
    for (const row of moving) row.draw(now)
    return moving.length > 0
  }

  /** Updates the durations of all calls; called once a second. */
  tick() {
    for (const { call, since } of this.#rows.values()) {
      const end = call.isOver ? Date.parse(call.endedAt ?? call.updatedAt) : Date.now() + this.clockOffset
      setText(since, minutes(end - Date.parse(call.createdAt)))
    }
  }

  /** Reports which listens need levels: those on the screen, and the one to which the user listens. */
  #watch() {
    const ids = [...this.#rows.values()]
      .filter(({ isVisible }) => isVisible)
      .flatMap(({ call }) => call.listens.filter(({ state }) => state === 'streaming'))
      .map(({ id }) => id)
    this.#on.watch([...new Set(this.#heard ? [this.#heard, ...ids] : ids)])
  }

  #add(callSid) {
    const row = new CallRow(this.#on)
    row.element.dataset.callSid = callSid
    row.markHeard(this.#heard)
    row.markPlayable(this.#playable)
    this.#rows.set(callSid, row)
    this.#visible.observe(row.element)
    return row
  }

  #remove(callSid, { element }) {
    this.#visible.unobserve(element)
    this.#rows.delete(callSid)
    // If the focused button is removed, the list gets the focus. Otherwise the focus would jump to the top of
    // the page.
    if (element.contains(document.activeElement)) this.#lists.live.focus()
    element.remove()
  }
}

/** Moves an element to its index in a list. A focused button inside keeps the focus. */
function place(list, element, index) {
  const before = list.children[index] ?? null
  if (before === element) return
  const active = element.contains(document.activeElement) ? document.activeElement : undefined
  list.insertBefore(element, before)
  active?.focus({ preventScroll: true })
}
