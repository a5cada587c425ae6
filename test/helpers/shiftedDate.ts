// Replaces Date by a Date whose clock can jump. Import this module before every module that reads the clock.
const RealDate = Date
let shift = 0

globalThis.Date = class extends RealDate {
  constructor(...args: unknown[]) {
    if (args.length === 0) super(RealDate.now() + shift)
    else super(...(args as [number]))
  }

  static override now(): number {
    return RealDate.now() + shift
  }
} as DateConstructor

/** Moves the clock of this process by `ms`. */
export function shiftDate(ms: number): void {
  shift += ms
}
