import neostandard from 'neostandard'

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
  }
]
