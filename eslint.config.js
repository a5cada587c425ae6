import neostandard from 'neostandard'
import { docstrings } from './.eslint/docstrings.js'
import { layers } from './.eslint/layers.js'

export default [
  // prettier decides how the code looks: `npm run format`
  ...neostandard({
    ts: true,
    noStyle: true,
    env: ['browser'],
    ignores: ['dist', 'coverage', '.tap', 'recordings', 'lib/verbs/compiledVerbs.js']
  }),
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      'no-duplicate-imports': ['error', { allowSeparateTypeImports: true }]
    }
  },
  {
    files: ['lib/**/*.ts', 'routes/**/*.ts'],
    plugins: { house: { rules: { docstrings, layers } } },
    rules: { 'house/layers': 'error', 'house/docstrings': 'error' }
  },
  {
    files: ['lib/**/*.ts'],
    ignores: ['lib/model/time.ts', 'lib/simulator/**'],
    rules: {
      'no-restricted-properties': [
        'error',
        {
          object: 'Date',
          property: 'now',
          message:
            'This clock jumps: use performance.now() for durations, wallClock() for times that others read.'
        }
      ]
    }
  },
  {
    files: ['lib/**/*.ts', 'routes/**/*.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'BinaryExpression[operator="instanceof"][right.name=/^(Promise|ArrayBuffer|[A-Z]\\w*Array)$/]',
          message:
            'False for a value of another realm, such as one of Node in Jest: use `types` of node:util.'
        },
        {
          selector: 'BinaryExpression[operator="instanceof"][right.name="Error"]',
          message: 'False for an error of another realm, such as one of Node in Jest: use isError().'
        }
      ]
    }
  },
  {
    // generated: its docstrings are jambonz' own
    files: ['lib/verbs/jambonzVerbs.ts'],
    rules: { 'house/docstrings': 'off' }
  }
]
