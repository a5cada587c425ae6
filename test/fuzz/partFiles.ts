import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import fc from 'fast-check'
import jambonzListen from '../../lib/index.js'
import { assertCoded, type FuzzTarget } from './target.js'

const name = fc.constantFrom(
  'a.part.wav',
  'a.part.json',
  'a.wav',
  'a.json',
  'b.part.wav',
  'b.part.json',
  'b.wav.enc',
  'c.part.wav.enc',
  '.instances'
)
const content = fc.oneof(
  fc.uint8Array({ maxLength: 400 }),
  fc.json().map((text) => Buffer.from(text)),
  fc
    .dictionary(
      fc.constantFrom(
        'id',
        'callSid',
        'recorder',
        'recording',
        'sampleRate',
        'channels',
        'startedAt',
        'segment',
        'pauses',
        'gaps',
        'token',
        'instance'
      ),
      fc.jsonValue({ maxDepth: 2 }),
      { maxKeys: 8 }
    )
    .map((json) => Buffer.from(JSON.stringify(json)))
)

/**
 * Random files are in the recordings directory. The plugin must start, or throw an error that says what is
 * wrong. It must not delete a file that it does not understand.
 */
export const partFiles: FuzzTarget = {
  name: 'partFiles',
  share: 0.1,
  async begin() {
    const root = await mkdtemp(join(tmpdir(), 'jambonz-fuzz-'))
    return {
      property: fc.asyncProperty(fc.dictionary(name, content, { minKeys: 1, maxKeys: 6 }), async (files) => {
        const directory = await mkdtemp(join(root, 'case-'))
        for (const [file, bytes] of Object.entries(files)) await writeFile(join(directory, file), bytes)
        const app = Fastify()
        try {
          await app.register(jambonzListen, { recording: { directory } })
          await app.ready()
        } catch (err) {
          // The plugin may refuse to start, for example if a file has the name of a folder that the plugin
          // needs.
          assertCoded(err)
        }
        await app.close()
        const left = new Set(await readdir(directory))
        for (const file of Object.keys(files).filter((each) => each === 'a.wav' || each === 'b.wav.enc')) {
          assert.ok(left.has(file), `${file} is gone`)
        }
        await rm(directory, { recursive: true })
      }),
      end: () => rm(root, { recursive: true, force: true })
    }
  }
}
