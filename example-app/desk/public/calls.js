import { minutes, setText } from './format.js'
import { CallRow } from './row.js'

/** Makes and updates the list of live calls. `on.hear(listen, call)`, `on.play(listen)`: somebody wants to listen in, or to a recording. */
export class CallList {
  /** ms that the server's clock is ahead of ours */
  clockOffset = 0
  #list
  #on
  #rows = new Map()
  #visible = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const row = this.#rows.get(target.dataset.callSid)
      if (row) row.isVisible = isIntersecting
    }
  })

  constructor(list, on) {
    this.#list = list
    this.#on = on
  }

  /** rows, those of calls that are just over included */
  get size() {
    return this.#rows.size
  }

  get live() {
    return [...this.#rows.values()].filter(({ call }) => !call.isOver).length
  }

  /** The calls as the store has them, newest first; `instance`: whose page this is. Returns those that are new. */
  update(calls, instance) {
    const legs = Map.groupBy(
      calls.filter(({ parentCallSid }) => parentCallSid),
      ({ parentCallSid }) => parentCallSid
    )
    const shown = calls.filter(({ parentCallSid }) => !parentCallSid)
    const added = shown.filter(({ callSid }) => !this.#rows.has(callSid))
    for (const { callSid } of added) this.#add(callSid)
    for (const [index, call] of shown.entries()) {
      const row = this.#rows.get(call.callSid)
      row.show(call, legs.get(call.callSid) ?? [], instance)
      if (this.#list.children[index] !== row.element) {
        this.#list.insertBefore(row.element, this.#list.children[index] ?? null)
      }
    }
    const sids = new Set(shown.map(({ callSid }) => callSid))
    for (const [callSid, row] of this.#rows) {
      if (!sids.has(callSid)) this.#remove(callSid, row)
    }
    this.tick()
    return added
  }

  /** Levels of this instance's streams, by listen. */
  levels(streams, at) {
    for (const row of this.#rows.values()) row.levels(streams, at)
  }

  /** Which listen is heard now, if any. */
  markHeard(id) {
    for (const row of this.#rows.values()) row.markHeard(id)
  }

  /** Which listens have a recording that can be played. */
  markPlayable(ids) {
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

  #add(callSid) {
    const row = new CallRow(this.#on)
    row.element.dataset.callSid = callSid
    this.#rows.set(callSid, row)
    this.#visible.observe(row.element)
  }

  #remove(callSid, { element }) {
    this.#visible.unobserve(element)
    this.#rows.delete(callSid)
    // Whoever stands on a button that goes away stands at the list again, not at the top of the page.
    if (element.contains(document.activeElement)) this.#list.focus()
    element.remove()
  }
}
