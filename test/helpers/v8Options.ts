/** The option that makes V8 optimize later, if test/run.js has set it for this process; for its child processes. */
export const V8_OPTIONS: readonly string[] = process.execArgv.filter((arg) =>
  arg.startsWith('--interrupt-budget=')
)
