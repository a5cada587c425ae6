import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, realpath, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import t from 'tap'
import { ensureDirectory } from '../../lib/recording/directory/files.js'
import { cleanId, cleanName, defaultName } from '../../lib/recording/directory/names.js'
import { WAV_HEADER_BYTES } from '../../lib/pcm/wavHeader.js'
import { build, LISTEN, pcm, streamOf, temporaryDirectory } from '../helpers/recordings.js'

t.test('a file name never leads out of the directory, and is valid on every file system', async (t) => {
  const names: Array<[string, string]> = [
    ['support/alice.wav', 'support/alice'],
    ['../../etc/passwd', 'etc/passwd'],
    ['/etc/passwd', 'etc/passwd'],
    ['a/./../b//c.WAV', 'a/b/c'],
    ['..\\..\\windows', '___.._windows'],
    ['a\u0000b\nc\u001bd', 'a_b_c_d'],
    ['rtl\u202egpj', 'rtl_gpj'],
    ['<a>:"b"|?*', '_a___b____'],
    ['con', '_con'],
    ['NUL.txt', '_NUL.txt'],
    ['Köln/用户 1', 'Köln/用户 1'],
    ['e\u0301te\u0301', 'été'],
    ['.hidden.', '_hidden_'],
    ['x.part', 'x_part'],
    ['x.part.y', 'x_part.y'],
    ['x.2', 'x_2'],
    ['v1.2.3', 'v1.2_3'],
    ['..', ''],
    ['/', '']
  ]
  for (const [given, clean] of names) t.equal(cleanName(given), clean, JSON.stringify(given))
  const long = cleanName('ü'.repeat(5000))
  t.ok(Buffer.byteLength(long) <= 180)
  t.not(long, cleanName(`${'ü'.repeat(4999)}x`), 'two long names with the same beginning stay different')
  t.ok(cleanName(Array.from({ length: 100 }, (_, at) => `d${at}`).join('/')).split('/').length <= 16)
})

t.test('ids that differ only in case get different files, even if the disk ignores case', async (t) => {
  t.equal(cleanId('0d4a3f70-b6a3'), '0d4a3f70-b6a3')
  const ids = ['CALL', 'call', 'Call', 'ca/l', 'ca\\l', 'ca_l', '', '../', 'x'.repeat(500), 'x'.repeat(501)]
  t.equal(new Set(ids.map((id) => cleanId(id).toLowerCase())).size, ids.length)
  for (const id of ids) t.match(cleanId(id), /^[a-z0-9._~-]{1,100}$/)
  t.match(
    defaultName(streamOf({ callSid: '../../x', id: 'y.part' })),
    /^2026\/02\/03\/__________x~[0-9a-f]{10}-y_part$|^2026\/02\/03\/[a-z0-9._~-]+$/
  )
  t.match(defaultName(streamOf({ createdAt: 'nonsense' })), /^\d{4}\/\d\d\/\d\d\//)
})

t.test('recordings whose names are equal, or differ only in case, do not overwrite each other', async (t) => {
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'a'))
  await writeFile(join(directory, 'a/Name.wav'), "somebody else's")
  const { recordings } = await build(t, {
    directory,
    fileName: ({ listen }) => (listen.id.startsWith('upper') ? 'a/NAME' : 'a/name.wav')
  })
  const ids = ['one', 'two', 'upper-one', 'upper-two']
  const recorders = ids.map((id) => recordings.start(streamOf({ id })))
  recorders.forEach((recorder, at) => {
    recorder.write(pcm(at, 0, 160), 0)
  })
  const finished = await Promise.all(
    recorders.map((recorder, at) => recorder.finish({ ...LISTEN, id: ids[at] ?? '' }))
  )
  const names = finished.map(({ location }) => basename(location).toLowerCase())
  t.equal(new Set([...names, 'name.wav']).size, 5, names.join(' '))
  t.equal(await readFile(join(directory, 'a/Name.wav'), 'utf8'), "somebody else's")
})

t.test('a recording does not overwrite a file that got its final name during the call', async (t) => {
  const { recordings, directory } = await build(t, { fileName: () => 'call' })
  const recorder = recordings.start(streamOf())
  recorder.write(pcm(1, 0, 160), 0)
  await writeFile(join(directory, 'call.wav'), "somebody else's")
  const recording = await recorder.finish(LISTEN)
  t.not(basename(recording.location), 'call.wav')
  t.equal(await readFile(join(directory, 'call.wav'), 'utf8'), "somebody else's")
  t.match(JSON.parse(await readFile(recording.location.replace(/wav$/, 'json'), 'utf8')), {
    recording: { location: recording.location }
  })
})

t.test('no new file is created through a link that leads out of the directory', async (t) => {
  const directory = await temporaryDirectory(t)
  const outside = join(await temporaryDirectory(t), 'victim')
  await writeFile(outside, 'victim')
  await symlink(outside, join(directory, 'call.part.wav'))
  const { recordings } = await build(t, { directory, fileName: () => 'call' })
  const recorder = recordings.start(streamOf())
  recorder.write(pcm(1, 0, 160), 0)
  t.match(resolve((await recorder.finish(LISTEN)).location), resolve(directory, 'call-2.wav'))
  t.equal(await readFile(outside, 'utf8'), 'victim')
})

t.test('a recording gets a default name if fileName() throws or returns nothing', async (t) => {
  for (const fileName of [
    () => {
      throw new Error('broken')
    },
    () => '..',
    () => undefined as unknown as string
  ]) {
    const { recordings, logger } = await build(t, { fileName })
    const recording = await recordings.start(streamOf()).finish(LISTEN)
    t.match(recording.location, /2026\/02\/03\/0d4a3f70-b6a3-4b4f-a2b7-c9b1a3e5d7f9-[0-9a-f-]+\.wav$/)
    t.match(logger.lines, [{ level: 'error', text: /default name/ }])
  }
})

t.test(
  'a recording gets a default name if fileName() is async, and its rejection ends no process',
  async (t) => {
    const fileName = (async () => {
      throw new Error('no database')
    }) as unknown as () => string
    const { recordings, logger } = await build(t, { fileName })
    const recording = await recordings.start(streamOf()).finish(LISTEN)
    t.match(recording.location, /0d4a3f70-b6a3-4b4f-a2b7-c9b1a3e5d7f9-[0-9a-f-]+\.wav$/)
    t.match(logger.lines, [
      { level: 'error', text: /returned no valid file name/ },
      { level: 'error', text: /fileName failed/ }
    ])
  }
)

t.test('other users of the machine can not read recordings and their directories', async (t) => {
  const { recordings, directory } = await build(t, { fileName: () => 'sub/call' })
  await recordings.start(streamOf()).finish(LISTEN)
  for (const file of await readdir(join(directory, 'sub'))) {
    t.equal((await stat(join(directory, 'sub', file))).mode & 0o007, 0, file)
  }
  t.equal((await stat(join(directory, 'sub'))).mode & 0o007, 0)
})

t.test('several instances can create the same directory at the same time', async (t) => {
  const directory = await temporaryDirectory(t)
  for (let round = 0; round < 50; round++) {
    const paths = Array.from({ length: 8 }, (_, at) => join(directory, `${round}`, '2026', '11', `${at % 2}`))
    await Promise.all(paths.map(ensureDirectory))
  }
})

t.test('a relative directory stays where it is if the process changes its working directory', async (t) => {
  const [first, second] = [await temporaryDirectory(t), await temporaryDirectory(t)]
  const script = join(import.meta.dirname, '../helpers/movedChild.js')
  const child = spawnSync(process.execPath, [script, first, second], { encoding: 'utf8', env: {} })
  t.equal(child.status, 0, child.stderr)
  const [one = '', two = ''] = JSON.parse(child.stdout) as string[]
  t.match(one, /^recordings\/2026\/.*-one\.wav$/)
  t.match(two, /-two\.wav$/)
  t.equal(dirname(two), join(await realpath(first), dirname(one)), 'the location is absolute then')
  for (const file of [join(first, one), two]) t.equal((await stat(file)).size, WAV_HEADER_BYTES + 3_200)
  t.same(await readdir(second), [])
  t.same(await readdir(join(first, 'recordings/.instances')), [])
})
