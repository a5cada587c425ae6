import type { IAsyncPropertyWithHooks, IRawProperty } from 'fast-check'

/** Something that reads what somebody else wrote, and how it is tried. */
export interface FuzzTarget {
  name: string
  /** of all cases */
  share: number
  begin(): Promise<FuzzRun>
}

export interface FuzzRun {
  property: IRawProperty<unknown, boolean> | IAsyncPropertyWithHooks<unknown>
  end(): Promise<void>
}

export const nothingToEnd = async (): Promise<void> => {}

/** Throws where an error is not one of the plugin's own, which name what was wrong. */
export function assertCoded(err: unknown): void {
  const { code } = err as { code?: unknown }
  if (typeof code !== 'string' || !code.startsWith('FST_JAMBONZ_')) throw err
}
