import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Listen } from '../../../lib/index.js'
import type { SimulateCallOptions } from '../../../lib/simulator/index.js'
import { folder, type BuildOptions } from '../build.js'

// Helpers for the table of all applications in the test suite and the documentation that use a listen. Each
// application must work in the same way over HTTP and over a websocket.

export interface Application {
  title: string
  /** the test file or page that contains the application */
  from: string
  options?: () => BuildOptions
  routes: (app: FastifyInstance, seen: unknown[]) => unknown
  /** builds the host application and adds the routes; if undefined, the host is a bare Fastify */
  host?: (
    t: Test,
    options: BuildOptions,
    routes: (scope: FastifyInstance) => void
  ) => Promise<{ app: FastifyInstance; hook: string }>
  call?: Partial<SimulateCallOptions>
  /** true: the application answers audio in real time, so the bytes and times differ in each run */
  inRealTime?: boolean
  /** fields that differ between the transports, each with the reason */
  differs?: Partial<Record<'hangupBy' | 'callStatus', string>>
  /** true: jambonz logs an error in this call, over every transport */
  fails?: boolean
}

export const recording = () => ({ recording: { directory: folder() } })
export const hangup = [{ verb: 'hangup' as const }]
export const WEB = { username: 'web', password: 'of the webhooks' }
export const silent = { pcm: new Int16Array(8_000 * 6), sampleRate: 8_000 }

/** Returns the fields of a listen that must be the same in each run. */
export function outcomeOf(listen: Listen | undefined, inRealTime = false): unknown {
  if (listen === undefined) return undefined
  const {
    state,
    connected,
    mixType,
    sampleRate,
    channels,
    nested,
    endReason,
    audio,
    digits,
    path,
    metadata
  } = listen
  return {
    state,
    connected,
    mixType,
    sampleRate,
    channels,
    nested,
    endReason,
    // The number of bytes depends on the machine. Another check compares the audio with the audio that was
    // sent.
    bytes: audio.bytes > 0,
    digits,
    path,
    metadata,
    recorded: inRealTime
      ? listen.recording !== undefined
      : listen.recording && listen.recording.durationMs === audio.durationMs
  }
}

export const VOICEMAIL = (app: FastifyInstance, seen: unknown[]): void => {
  app.jambonz.webhook('/call', async () => [
    { verb: 'say', text: 'Leave a message after the beep, then press pound.' },
    { verb: 'listen', actionHook: '/call/done', playBeep: true, finishOnKey: '#', maxLength: 120 }
  ])
  app.jambonz.actionHook('/call/done', async ({ listen }) => {
    seen.push(outcomeOf(listen))
    return [{ verb: 'say', text: 'Thank you. Goodbye.' }, { verb: 'hangup' }]
  })
}

/**
 * Returns an application with one recorded listen that has these options. The listens that its hook receives
 * are collected.
 */
export function oneListen(
  title: string,
  from: string,
  listen: Record<string, unknown>,
  more: Partial<Application> = {}
): Application {
  return {
    title,
    from,
    options: recording,
    routes: (app, seen) => {
      app.jambonz.audio('/own', async (stream) => {
        stream.on('dtmf', ({ digit, private: isPrivate }) => seen.push(['dtmf', digit, isPrivate]))
      })
      app.jambonz.webhook('/call', async () => [{ verb: 'listen', actionHook: '/done', ...listen }])
      app.jambonz.actionHook('/done', async ({ listen }) => {
        seen.push(outcomeOf(listen))
        return hangup
      })
    },
    ...more
  }
}
