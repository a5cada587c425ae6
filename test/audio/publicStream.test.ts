import { readFile } from 'node:fs/promises'
import { Duplex } from 'node:stream'
import t from 'tap'
import { streamPair } from '../helpers/streamPair.js'

/** Members that are `protected` in TypeScript, because only the parts of a stream call them on each other. */
const PROTECTED = ['playback', 'output', 'listenerThrew', 'speechOver', 'afterEnd', 'readToEnd']

t.test('README lists all public members of a stream, and no others', async (t) => {
  const readme = await readFile('README.md', 'utf8')
  const section = /### `AudioStream`\n([\s\S]*?)\n###? /.exec(readme)?.[1] ?? ''
  const listed = new Set(
    section
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .flatMap((line) => Array.from(line.matchAll(/`([a-zA-Z]+)/g), ([, name]) => name))
  )
  const { stream } = await streamPair(t)
  const own = new Set<string>(Object.keys(stream).filter((name) => !(name in new Duplex())))
  for (
    let type = Object.getPrototypeOf(stream);
    type !== Duplex.prototype;
    type = Object.getPrototypeOf(type)
  ) {
    for (const name of Object.getOwnPropertyNames(type)) {
      if (name !== 'constructor' && !name.startsWith('_') && !(name in Duplex.prototype)) own.add(name)
    }
  }
  for (const name of PROTECTED) own.delete(name)
  t.ok(own.size > 20)
  for (const name of own) t.ok(listed.has(name), `README lists ${name}`)
  const { set } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(stream), 'listen') ?? {}
  t.equal(set, undefined, 'listen can not be set')
  t.equal(stream.call.callSid, 'call-1')
})
