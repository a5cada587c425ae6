import { Transform } from 'node:stream'

/**
 * A line per test file, every failure whole, and at the end `N passed, N failed` from tap's own totals. Reads the TAP
 * line by line: what is indented belongs to a file's subtests.
 */
export default class Reporter extends Transform {
  #rest = ''
  #failing = false
  #totals

  _transform(chunk, encoding, done) {
    const lines = (this.#rest + chunk).split('\n')
    this.#rest = lines.pop()
    for (const line of lines) this.#line(line)
    done()
  }

  _flush(done) {
    this.#line(this.#rest)
    if (this.#totals) {
      const { pass = 0, fail = 0, skip = 0, todo = 0 } = this.#totals
      this.push(`${pass} passed, ${fail} failed${skip + todo > 0 ? `, ${skip + todo} skipped` : ''}\n`)
    }
    done()
  }

  #line(line) {
    const totals = /^# \{ total: (.*) \}$/.exec(line)
    if (totals) {
      this.#totals = Object.fromEntries(
        [...line.matchAll(/(\w+): (\d+)/g)].map(([, name, count]) => [name, Number(count)])
      )
    } else if (/^\s+not ok/.test(line)) this.#failing = true
    else if (/^\s*(?:ok|not ok)\b|^\s*# Subtest/.test(line)) this.#failing = false
    const fileLine = /^(?:ok|not ok|Bail out!|# (?!Subtest))/.test(line) && !totals
    if (fileLine || this.#failing || /# (?:SKIP|TODO)/.test(line)) {
      this.push(`${line.replace(/^(\s*(?:not )?ok .*) \{$/, '$1')}\n`)
    }
  }
}
