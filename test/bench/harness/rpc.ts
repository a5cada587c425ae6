import type { ChildProcess } from 'node:child_process'

/** Methods that a process calls in another process. Arguments and results must be JSON. */
export type Methods = { [name: string]: (argument: never) => unknown }
type Name<M> = Extract<keyof M, string>
type Argument<M, N extends keyof M> = M[N] extends () => unknown
  ? []
  : M[N] extends (argument: infer A) => unknown
    ? [A]
    : never
type Answer<M, N extends keyof M> = M[N] extends (...args: never[]) => infer R ? Awaited<R> : never

interface Request {
  id: number
  name: string
  argument: unknown
}
interface Reply {
  id: number
  result?: unknown
  error?: string
}

/** Runs these methods whenever the parent process calls them. */
export function answerParent<M extends Methods>(methods: M): void {
  process.on('message', ({ id, name, argument }: Request) => {
    const method = methods[name]
    const running = (async () => await method?.(argument as never))()
    running.then(
      (result) => {
        process.send?.({ id, result } satisfies Reply)
      },
      (err: unknown) => {
        process.send?.({
          id,
          error: err instanceof Error ? (err.stack ?? err.message) : String(err)
        } satisfies Reply)
      }
    )
  })
  process.on('disconnect', () => process.exit())
  process.send?.({ id: 0 } satisfies Reply)
}

/** Calls the methods of a child process. */
export class Remote<M> {
  /** Resolves when the child is ready; rejects if the child ends first. */
  readonly ready: Promise<void>
  readonly #child: ChildProcess
  readonly #waiting = new Map<
    number,
    { resolve: (result: unknown) => void; reject: (error: Error) => void }
  >()
  #id = 0

  constructor(child: ChildProcess, name: string) {
    this.#child = child
    this.ready = new Promise((resolve, reject) => {
      this.#waiting.set(0, { resolve: () => resolve(), reject })
    })
    this.ready.catch(() => {})
    child.on('message', ({ id, result, error }: Reply) => {
      const waiter = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error === undefined) waiter?.resolve(result)
      else waiter?.reject(new Error(`${name}: ${error}`))
    })
    child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${name} ended: ${code ?? signal}`))
      this.#waiting.clear()
    })
  }

  ask<N extends Name<M>>(name: N, ...[argument]: Argument<M, N>): Promise<Answer<M, N>> {
    const id = ++this.#id
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (result: unknown) => void, reject })
      this.#child.send({ id, name, argument } satisfies Request)
    })
  }
}
