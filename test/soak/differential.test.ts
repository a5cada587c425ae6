// Compares more random streams than `npm test` does.
process.env.STREAMS ??= '60000'
await import('../audio/differential.test.js')
