import { dirname, relative, resolve, sep } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')

/**
 * The folders of lib/, from the lowest floor to the highest. A folder may import, types included, only from
 * lower floors. Two folders on the same floor must not import each other.
 */
export const FLOORS = [
  ['model'],
  ['pcm'],
  ['store'],
  ['verbs'],
  ['audio/socket'],
  ['audio/playback'],
  ['audio/stream'],
  ['recording'],
  ['correlation'],
  ['listening'],
  ['application'],
  ['metrics', 'tracing', 'twilio']
]

const FOLDERS = FLOORS.flatMap((folders, floor) =>
  folders.map((folder) => ({ path: `lib/${folder}/`, floor }))
)
/**
 * The floor of routes/ and of the files directly in lib/, such as lib/plugin.ts. It is above all floors of
 * FLOORS.
 */
const ROOF = FLOORS.length
/**
 * Floors of the two folders that use the plugin as an application does, and are therefore above the plugin.
 */
const ABOVE = { 'lib/monitor/': ROOF + 1, 'lib/simulator/': ROOF + 1 }

/** The ESLint rule that reports an import from a higher floor, or from another folder on the same floor. */
export const layers = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      above:
        '{{from}} must not import {{to}}: a folder imports only from the floors below it (.eslint/layers.js).',
      simulator: 'The simulator and the plugin must not import each other: {{from}} imports {{to}}.'
    }
  },
  create(context) {
    const file = posix(relative(ROOT, context.filename))
    const from = roomOf(file)
    if (from === undefined) return {}
    const check = (node) => {
      const specifier = node.source?.value
      if (typeof specifier !== 'string' || !specifier.startsWith('.')) return
      const target = posix(relative(ROOT, resolve(dirname(context.filename), specifier)))
      const to = roomOf(target)
      if (to === undefined || to.path === from.path) return
      const data = { from: from.path, to: to.path }
      if (isSimulator(from) || isSimulator(to)) context.report({ node, messageId: 'simulator', data })
      else if (to.floor >= from.floor) context.report({ node, messageId: 'above', data })
    }
    return {
      ImportDeclaration: check,
      ImportExpression: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      TSImportType: (node) => check({ ...node, source: node.source ?? node.argument?.literal })
    }
  }
}

function roomOf(file) {
  const above = Object.keys(ABOVE).find((path) => file.startsWith(path))
  if (above) return { path: above, floor: ABOVE[above] }
  const room = FOLDERS.find(({ path }) => file.startsWith(path))
  if (room) return room
  // Without this error, no rule would apply to a folder that FLOORS does not name.
  const folder = /^lib\/([^/]+)\//.exec(file)?.[1]
  if (folder !== undefined) {
    throw new Error(`lib/${folder} stands on no floor of .eslint/layers.js`)
  }
  return file.startsWith('lib/') || file.startsWith('routes/') ? { path: 'lib/*.ts', floor: ROOF } : undefined
}

function isSimulator({ path }) {
  return path === 'lib/simulator/'
}

function posix(path) {
  return path.split(sep).join('/')
}
