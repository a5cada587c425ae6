import type { IAsyncPropertyWithHooks, IRawProperty } from 'fast-check'

/** Code that reads foreign input, with the property that a fuzz run checks. */
export interface FuzzTarget {
  name: string
  /** part of all cases that this target gets, 0 to 1 */
  share: number
  begin(): Promise<FuzzRun>
}

export interface FuzzRun {
  property: IRawProperty<unknown, boolean> | IAsyncPropertyWithHooks<unknown>
  end(): Promise<void>
}

export const nothingToEnd = async (): Promise<void> => {}

/** Throws unless the error is one of the plugin's own errors. */
export function assertCoded(err: unknown): void {
  const { code } = err as { code?: unknown }
  if (typeof code !== 'string' || !code.startsWith('FST_JAMBONZ_')) throw err
}
