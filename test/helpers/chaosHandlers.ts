import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { AudioStream } from '../../lib/audio/stream/AudioStream.js'
import { ENDLESS_SPEAKERS } from './endlessSpeakers.js'

export const WEBHOOK_SECRET = 'the account has it'
export const AUTH = { username: 'jambonz', password: 'secret' }
/** name of a caller, and of the directory of the caller's recordings, which fail because its disk is full */
export const FULL = 'full'
/** prefix of the routes whose recordings go to a sink */
export const SINK = '/sink'

/** An audio handler of an application. Some of the handlers are faulty. */
export interface ChaosHandler {
  mode: 'off' | 'streaming' | 'file'
  /** handles the audio; undefined: the audio is only recorded */
  handle?: (stream: AudioStream) => unknown
}

const PCM = Buffer.alloc(3_200, 1)
const EVENTS = [
  'data',
  'readable',
  'end',
  'close',
  'finish',
  'pause',
  'resume',
  'error',
  'audio',
  'dtmf',
  'message',
  'mark'
] as const

/** Returns a handler that begins privacy at the key * and ends it at the key #. */
function keepSecrets(mode: 'silence' | 'skip', through: 'stream' | 'recording') {
  return async (stream: AudioStream): Promise<void> => {
    stream.on('dtmf', ({ digit }) => {
      if (digit === '*') {
        if (through === 'recording') stream.recording?.pause(mode)
        else stream.beginPrivacy(mode)
      }
      if (digit === '#') stream.endPrivacy()
    })
    await stream.done
  }
}

function throwOn(event: (typeof EVENTS)[number]): ChaosHandler['handle'] {
  return async (stream) => {
    stream.on(event as 'end', () => {
      throw new Error(`a listener for ${event} threw`)
    })
    if (event !== 'readable') stream.resume()
    stream.write(PCM)
    stream.mark('said').catch(() => {})
    await stream.done
  }
}

const handlers: Record<string, ChaosHandler> = {
  'record': { mode: 'off' },
  'keep secrets, silent': { mode: 'off', handle: keepSecrets('silence', 'stream') },
  'keep secrets, skipped': { mode: 'off', handle: keepSecrets('skip', 'recording') },
  'read': {
    mode: 'off',
    handle: async (stream) => {
      for await (const pcm of stream) if ((pcm as Buffer).length === 0) break
    }
  },
  'read slowly': {
    mode: 'off',
    handle: async (stream) => {
      for await (const pcm of stream) await delay((pcm as Buffer).length / 4)
    }
  },
  'stop reading': {
    mode: 'off',
    handle: async (stream) => {
      stream.once('data', () => stream.pause())
      await stream.done
    }
  },
  'leave at once': {
    mode: 'off',
    handle: async (stream) => {
      for await (const pcm of stream) if (pcm) break
    }
  },
  'destroy with an error': {
    mode: 'off',
    handle: (stream) => stream.destroy(new Error('enough'))
  },
  'destroy a channel': {
    mode: 'off',
    handle: async (stream) => {
      const caller = stream.channel('caller')
      await once(caller, 'readable')
      caller.destroy(new Error('enough of one side'))
    }
  },
  'throw': {
    mode: 'off',
    handle: () => {
      throw new Error('the handler threw')
    }
  },
  'throw what is no error': {
    mode: 'off',
    handle: async () => {
      await delay(100)
      const text: unknown = 'text'
      throw text
    }
  },
  'disconnect': {
    mode: 'off',
    handle: async (stream) => {
      await delay(200)
      await stream.disconnect()
    }
  },
  'never return': { mode: 'off', handle: () => new Promise(() => {}) },
  ...Object.fromEntries(
    EVENTS.map((event) => [`throw on ${event}`, { mode: 'streaming' as const, handle: throwOn(event) }])
  ),
  ...Object.fromEntries(
    Object.entries(ENDLESS_SPEAKERS)
      // Handlers that ignore every error are left out, because they would never end.
      // test/audio/hangUp.test.ts runs them.
      .filter(([, { ends }]) => ends)
      .map(([name, { mode, speak }]) => [name, { mode, handle: speak }])
  )
}

/** all handlers, by name */
export const CHAOS_HANDLERS: ReadonlyMap<string, ChaosHandler> = new Map(Object.entries(handlers))
