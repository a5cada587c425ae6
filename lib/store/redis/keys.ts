/** The names of everything in Redis. A call is one key: one slot of a cluster. */
export class Keys {
  /** sorted set of callSids, by the ms at which the call may have expired */
  readonly calls: string
  /** sorted set of instances, by the ms at which their last beat expires */
  readonly instances: string
  /** pub/sub channel: each message the `callSid` and id of a listen that has ended */
  readonly ended: string
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
    this.calls = `${prefix}calls`
    this.instances = `${prefix}instances`
    this.ended = `${prefix}ended`
  }

  /** hash: see fields.ts */
  call(callSid: string): string {
    return `${this.#prefix}call:{${callSid}}`
  }

  /** set of the listens whose sockets an instance holds */
  held(instance: string): string {
    return `${this.#prefix}held:${instance}`
  }
}

/** A listen as a member of a set, or a message. */
export function listenName(callSid: string, listenId: string): string {
  return JSON.stringify([callSid, listenId])
}

export function parseListenName(name: string): [callSid: string, listenId: string] {
  return JSON.parse(name) as [string, string]
}
