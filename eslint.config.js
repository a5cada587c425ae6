import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['dist', 'coverage', '.tap', 'example-app/public/vendor', 'recordings'] }),
  {
    rules: {
      '@typescript-eslint/no-explicit-any': 'error'
    }
  }
]
