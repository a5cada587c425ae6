import neostandard from 'neostandard'
import { docstrings } from './.eslint/docstrings.js'
import { layers } from './.eslint/layers.js'

export default [
  // prettier decides how the code looks: `npm run format`
  ...neostandard({
    ts: true,
    noStyle: true,
    env: ['browser'],
    ignores: ['dist', 'coverage', '.tap', 'recordings']
  }),
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error'
    }
  },
  {
    files: ['lib/**/*.ts', 'routes/**/*.ts'],
    plugins: { house: { rules: { docstrings, layers } } },
    rules: { 'house/layers': 'error', 'house/docstrings': 'error' }
  },
  {
    // generated: its docstrings are jambonz' own
    files: ['lib/verbs/jambonzVerbs.ts'],
    rules: { 'house/docstrings': 'off' }
  }
]
