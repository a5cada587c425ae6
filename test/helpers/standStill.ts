/** Blocks the event loop for `ms`, as a busy process does, but uses no CPU. */
export function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
