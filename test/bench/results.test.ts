import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { replacePart, saveResults } from './harness/results.js'

const RESULTS = 'test/bench/RESULTS.md'
/**
 * Matches a figure in the documentation, which is a link to the section of the results that contains the
 * figure.
 */
const FIGURE = /\[([^\]]*)\]\([^)]*RESULTS\.md#([\w-]+)\)/g
const NUMBER = /\d[\d,]*(?:\.\d+)?/g

const pages = [
  'README.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name))
]

/** Returns the sections of the results file, by the anchors of their headings. */
function sectionsOf(results: string): Map<string, string> {
  const sections = results.split(/^## /m).slice(1)
  return new Map(
    sections.map((section) => {
      const [title = ''] = section.split('\n')
      const anchor = title.toLowerCase().replace(/[^\w -]/g, '')
      return [anchor.replaceAll(' ', '-'), section]
    })
  )
}

t.test('each benchmark figure in the documentation is in the results', (t) => {
  const sections = sectionsOf(readFileSync(RESULTS, 'utf8'))
  let checked = 0
  for (const page of pages) {
    for (const [, text = '', anchor = ''] of readFileSync(page, 'utf8').matchAll(FIGURE)) {
      const section = sections.get(anchor)
      t.ok(section, `${page} links to ${RESULTS}#${anchor}`)
      const found: string[] = section?.match(NUMBER) ?? []
      for (const number of text.match(NUMBER) ?? []) {
        checked++
        t.ok(found.includes(number), `${page}: ${number} is not in the section #${anchor} of ${RESULTS}`)
      }
    }
  }
  t.ok(checked > 0)
  t.end()
})

t.test('each figure about speed in README has a link to the results', (t) => {
  const [, section = ''] = /^## Performance\n([^]*?)^## /m.exec(readFileSync('README.md', 'utf8')) ?? []
  t.match(section, FIGURE)
  t.notMatch(section.replaceAll(FIGURE, ''), NUMBER)
  t.end()
})

t.test('a run rewrites its own parts of the results and no other text', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'jambonz-results-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'RESULTS.md')
  saveResults(path, [
    { name: 'one', text: '## One\n\n1' },
    { name: 'two', text: '## Two\n\n2' }
  ])
  const written = readFileSync(path, 'utf8')
  t.match(written, /^# Results\n/)
  writeFileSync(path, written.replace('<!-- measured: two -->', 'Why it is one.\n\n<!-- measured: two -->'))
  saveResults(path, [{ name: 'one', text: '## One\n\n$& 11' }])
  t.match(
    readFileSync(path, 'utf8'),
    /One\n\n\$& 11\n\n<!-- end: one -->\n\nWhy it is one\.\n\n<!-- measured: two -->\n\n## Two\n\n2\n/
  )
  t.equal(replacePart(written, { name: 'two', text: '## Two\n\n2' }), written)
  t.end()
})
