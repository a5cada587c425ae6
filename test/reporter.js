import { Transform } from 'node:stream'

/** Returns the last line of a run. `counts`: tap's counts. */
export function totalsOf({ pass = 0, fail = 0, skip = 0, todo = 0 }) {
  return `${pass} passed, ${fail} failed${skip + todo > 0 ? `, ${skip + todo} skipped` : ''}`
}

/**
 * Prints a line per group of test files, and every failure in full. The last line is `N passed, N failed`,
 * from tap's totals. The input is TAP, read line by line; an indented line belongs to a group's subtests.
 */
export default class Reporter extends Transform {
  /** counts of each file whose tests have all run, from the comments that test/together.js writes */
  files = new Map()
  /** names of the groups that failed */
  failed = []
  /** numbers of all assertions that passed, failed and so on, from tap's last line */
  totals
  #rest = ''
  #failing = false

  _transform(chunk, encoding, done) {
    const lines = (this.#rest + chunk).split('\n')
    this.#rest = lines.pop()
    for (const line of lines) this.#line(line)
    done()
  }

  _flush(done) {
    this.#line(this.#rest)
    if (this.totals) this.push(`${totalsOf(this.totals)}\n`)
    done()
  }

  #line(line) {
    const totals = /^# \{ total: (.*) \}$/.exec(line)
    if (totals) {
      this.totals = Object.fromEntries(
        [...line.matchAll(/(\w+): (\d+)/g)].map(([, name, count]) => [name, Number(count)])
      )
    } else if (/^\s+not ok/.test(line)) this.#failing = true
    else if (/^\s*(?:ok|not ok)\b|^\s*# Subtest/.test(line)) this.#failing = false
    const [, file, counts] = /^ {4}# (test\/\S+\.test\.ts) (\{.*\})$/.exec(line) ?? []
    if (file) this.files.set(file, JSON.parse(counts))
    const [, failed] = /^not ok \d+ - (test\S*)/.exec(line) ?? []
    if (failed) this.failed.push(failed)
    const groupLine = /^(?:ok|not ok|Bail out!|# (?!Subtest))/.test(line) && !totals
    if (groupLine || this.#failing || /# (?:SKIP|TODO)/.test(line)) {
      this.push(`${line.replace(/^(\s*(?:not )?ok .*) \{$/, '$1')}\n`)
    }
  }
}
