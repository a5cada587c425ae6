import type { IAsyncPropertyWithHooks, IRawProperty } from 'fast-check'

/** A function that reads foreign input, with its test. */
export interface FuzzTarget {
  name: string
  /** share of all cases, 0 to 1 */
  share: number
  begin(): Promise<FuzzRun>
}

export interface FuzzRun {
  property: IRawProperty<unknown, boolean> | IAsyncPropertyWithHooks<unknown>
  end(): Promise<void>
}

export const nothingToEnd = async (): Promise<void> => {}

/** Throws unless the error is one of the plugin's own. */
export function assertCoded(err: unknown): void {
  const { code } = err as { code?: unknown }
  if (typeof code !== 'string' || !code.startsWith('FST_JAMBONZ_')) throw err
}
