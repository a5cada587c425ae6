import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { simulateCall, type CallStory, type Faults } from '../../lib/simulator/index.js'
import { CHAOS_HANDLERS, FULL, SINK, WEBHOOK_SECRET } from './chaosHandlers.js'

/** byte of which the caller's secret consists; other audio is noise */
const SECRET_BYTE = 0x5a
/** number of equal bytes in a row that can't occur in noise by chance */
const SECRET_RUN = 32
const RATE = 8_000
/**
 * Times in ms from the start of the first listen. The caller releases the key * at 500 and presses # at
 * 1,100. After each key the simulator mutes the caller for 100 ms.
 */
const [PRIVATE_FROM, SECRET_FROM, SECRET_TO, PRIVATE_TO, SPEECH] = [400, 620, 1_050, 1_100, 1_600]
/** part of all calls in which the caller says a secret */
const SECRETIVE = 0.25

export type Random = () => number

export interface ChaosCall {
  callSid: string
  handler: string
  /** the caller says the secret between the keys * and # */
  isPrivate: boolean
  /**
   * true: the caller says the secret outside of privacy. The search for leaked secrets must find this secret.
   */
  isOpen: boolean
  faults: Faults
  /** start of the call, in ms of performance.now() */
  begunAt: number
  story: CallStory
}

/** Returns a generator of numbers from 0 to 1. The same seed gives the same sequence. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Makes one call of a random kind. Resolves when the call has ended. */
export async function takeChaosCall(url: string, random: Random): Promise<ChaosCall> {
  const isPrivate = random() < SECRETIVE
  const isOpen = !isPrivate && random() < 0.05
  const kinds = [...CHAOS_HANDLERS.keys()]
  const secretive = kinds.filter((name) => name.startsWith('keep secrets'))
  const handler = pick(random, isPrivate ? secretive : isOpen ? ['record'] : kinds)
  const prefix = random() < 0.2 ? SINK : ''
  const query = new URLSearchParams({ handler })
  const hangsUp = random() < 0.5
  const faults = faultsOf(random)
  const begunAt = performance.now()
  const story = await simulateCall({
    url: `${url}${prefix}/call?${query}`,
    statusHook: `${prefix}/status`,
    webhookSecret: WEBHOOK_SECRET,
    from: random() < 0.1 ? FULL : '15550100',
    speech: { pcm: speech(random, isPrivate || isOpen), sampleRate: RATE },
    ...(isPrivate && {
      press: [
        { digits: '*', atMs: PRIVATE_FROM },
        { digits: '#', atMs: PRIVATE_TO }
      ]
    }),
    ...(hangsUp ? { hangUpAfterMs: Math.round(random() * SPEECH * 1.2) } : { patienceMs: 20 }),
    faults,
    speed: 1,
    timeoutMs: 60_000,
    // On a busy machine, an answer takes long.
    httpTimeoutMs: 30_000
  })
  return { callSid: story.callSid, handler, isPrivate, isOpen, faults, begunAt, story }
}

function faultsOf(random: Random): Faults {
  const stall = { fromMs: Math.round(random() * 900), forMs: Math.round(100 + random() * 900) }
  return pick<Faults>(random, [
    {},
    { stall },
    { stall },
    { stall },
    { dropAfterMs: Math.round(random() * SPEECH) },
    { slowUpgradeMs: Math.round(random() * 500) },
    { hangUpDuringUpgrade: true },
    { duplicateWebhook: true },
    { duplicateHook: true },
    { hookBeforeCloseMs: Math.round(random() * 300) },
    { gracefulShutdown: true },
    { noMetadata: true },
    { lateMetadataMs: Math.round(random() * 300) },
    { metadata: pick(random, ['apostrophe', 'quote', 'cut'] as const) }
  ])
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!
}

function speech(random: Random, secretive: boolean): Int16Array {
  const samples = Int16Array.from({ length: (SPEECH * RATE) / 1000 }, () => random() * 20_000 - 10_000)
  const secret = SECRET_BYTE * 256 + SECRET_BYTE
  if (secretive) samples.fill(secret, (SECRET_FROM * RATE) / 1000, (SECRET_TO * RATE) / 1000)
  return samples
}

/** Returns how many bytes of `audio` belong to a secret. */
export function secretBytes(audio: Buffer): number {
  let found = 0
  for (let at = audio.indexOf(SECRET_BYTE); at !== -1; at = audio.indexOf(SECRET_BYTE, at)) {
    const from = at
    while (audio[at] === SECRET_BYTE) at++
    if (at - from >= SECRET_RUN) found += at - from
  }
  return found
}

/**
 * Returns how many bytes of a secret jambonz sent during privacy; 0 if no socket was open to receive the key
 * that begins privacy.
 */
export function secretsSent({ isPrivate, story }: ChaosCall): number {
  return isPrivate && toldOfSecret(story)
    ? story.listens.reduce((sum, { sent }) => sum + secretBytes(sent.pcm ?? Buffer.alloc(0)), 0)
    : 0
}

/** Returns true if jambonz sent the key before the secret on a socket. */
export function toldOfSecret({ listens }: CallStory): boolean {
  return listens.some(({ sent }) => sent.texts.some((text) => text.includes('"dtmf"') && text.includes('*')))
}

/**
 * Searches all files below the folders for secrets. Resolves to the number of secret bytes, by the callSid in
 * the file's name.
 */
export async function secretsFound(
  callSids: readonly string[],
  folders: readonly string[]
): Promise<Map<string, number>> {
  for (;;) {
    try {
      return await searchFiles(callSids, folders)
    } catch (err) {
      // The recorder renamed a file during the search. The search begins again, so that it misses no file.
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err
    }
  }
}

async function searchFiles(
  callSids: readonly string[],
  folders: readonly string[]
): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const folder of folders) {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    for (const entry of entries) {
      if (!entry.isFile()) continue
      const bytes = secretBytes(readFileSync(join(entry.parentPath, entry.name)))
      if (bytes === 0) continue
      const callSid = callSids.find((sid) => entry.name.includes(sid)) ?? entry.name
      found.set(callSid, (found.get(callSid) ?? 0) + bytes)
    }
  }
  return found
}
