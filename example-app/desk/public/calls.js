import { minutes, party, setText } from './format.js'
import { CallRow } from './row.js'

/** rows shown at first, and with each further step */
const PAGE = 100
/** live calls from which on the field to find one is there */
const MANY = 12
const byId = (id) => document.getElementById(id)

/**
 * Makes and updates the rows of live calls, and of those that are just over. `on.hear(listen, call)`, `on.play(listen)`:
 * somebody wants to listen in, or to a recording. `on.watch(ids)`: the listens whose levels can be seen.
 */
export class CallList {
  /** ms that the server's clock is ahead of ours */
  clockOffset = 0
  #on
  #lists = { live: byId('calls'), over: byId('over') }
  /** calls the server has told of, by callSid */
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

  /** all calls, those that are just over included */
  get all() {
    return [...this.#calls.values()]
  }

  /** Takes the place of all that was known: what follows is told anew. */
  clear() {
    this.#calls.clear()
  }

  /** What has changed; `instance`: whose page this is. Returns the calls that are new. */
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

  /** Levels of this instance's streams, by listen. */
  levels(streams, at) {
    for (const row of this.#rows.values()) row.levels(streams, at)
  }

  /** Which listen is heard now, if any. */
  markHeard(id) {
    this.#heard = id
    for (const row of this.#rows.values()) row.markHeard(id)
    this.#watch()
  }

  /** Which listens have a recording that can be played. */
  markPlayable(ids) {
    this.#playable = ids
    for (const row of this.#rows.values()) row.markPlayable(ids)
  }

  /** Returns whether anything moves. */
  draw(now) {
    const moving = [...this.#rows.values()].filter((row) => row.isVisible && row.isMoving(now))
    for (const row of moving) row.draw(now)
    return moving.length > 0
  }

  /** Once a second: times run. */
  tick() {
    for (const { call, since } of this.#rows.values()) {
      const end = call.isOver ? Date.parse(call.endedAt ?? call.updatedAt) : Date.now() + this.clockOffset
      setText(since, minutes(end - Date.parse(call.createdAt)))
    }
  }

  /** The listens whose levels are wanted now: those on the screen, and the one that is heard. */
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
    // Whoever stands on a button that goes away stands at the list again, not at the top of the page.
    if (element.contains(document.activeElement)) this.#lists.live.focus()
    element.remove()
  }
}

/** Puts an element at its place in a list. Whoever stands on a button in it stays there. */
function place(list, element, index) {
  const before = list.children[index] ?? null
  if (before === element) return
  const active = element.contains(document.activeElement) ? document.activeElement : undefined
  list.insertBefore(element, before)
  active?.focus({ preventScroll: true })
}
