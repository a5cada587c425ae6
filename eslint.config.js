import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, env: ['browser'], ignores: ['dist', 'coverage', '.tap', 'recordings'] }),
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error'
    }
  }
]
