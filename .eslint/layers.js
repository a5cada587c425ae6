import { dirname, relative, resolve, sep } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')

/**
 * The folders of lib/ from the ground floor up. A folder imports only from the floors below its own, types included;
 * folders on one floor don't import each other.
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
/** lib/plugin.ts and the other files beside the folders, routes/: what users see of it all */
const ROOF = FLOORS.length
/** Doors that stand on the plugin itself, as an application does. */
const ABOVE = { 'lib/monitor/': ROOF + 1, 'lib/simulator/': ROOF + 1 }

/** Reports an import of a floor above, or of a neighbour on the same floor. */
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
  // A folder that no floor names would be under no rule.
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
