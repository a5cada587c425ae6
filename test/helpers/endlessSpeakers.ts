import { once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { AudioStream } from '../../lib/audio/stream/AudioStream.js'

/** A handler that writes audio without end, until an error or `destroyed` stops it. */
export interface EndlessSpeaker {
  mode: 'streaming' | 'file'
  /** false: nothing ends the handler, because it ignores every error */
  ends: boolean
  speak: (stream: AudioStream) => Promise<unknown>
}

const PCM = Buffer.alloc(3_200, 1)
const LONG = Buffer.alloc(64_000, 1)

function* forever() {
  for (;;) yield PCM
}

function written(stream: AudioStream, pcm: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(pcm, (err) => (err ? reject(err) : resolve()))
  })
}

async function untilDestroyed(stream: AudioStream, pcm = PCM): Promise<void> {
  while (!stream.destroyed) if (!stream.write(pcm)) await once(stream, 'drain')
}

async function swallowing(ask: () => Promise<unknown>): Promise<never> {
  for (;;) await ask().catch(() => {})
}

const streaming = (speak: EndlessSpeaker['speak'], ends = true): EndlessSpeaker => ({
  mode: 'streaming',
  ends,
  speak
})
const file = (speak: EndlessSpeaker['speak'], ends = true): EndlessSpeaker => ({ mode: 'file', ends, speak })

/** Handlers that speak without end, by the way in which they write. */
export const ENDLESS_SPEAKERS: Record<string, EndlessSpeaker> = {
  'write until destroyed': streaming((stream) => untilDestroyed(stream)),
  'write in long pieces until destroyed': streaming((stream) => untilDestroyed(stream, LONG)),
  'write for ever': streaming(async (stream) => {
    for (;;) if (!stream.write(PCM)) await once(stream, 'drain')
  }),
  'write for ever, whatever write() says': streaming(async (stream) => {
    for (;;) {
      stream.write(PCM)
      await written(stream, PCM)
    }
  }),
  'await each write until destroyed, errors swallowed': streaming(async (stream) => {
    while (!stream.destroyed) await written(stream, PCM).catch(() => {})
  }),
  'await each write, errors swallowed': streaming((stream) => swallowing(() => written(stream, PCM)), false),
  'write for ever, errors swallowed': streaming(
    (stream) =>
      swallowing(async () => {
        if (!stream.write(PCM)) await once(stream, 'drain')
      }),
    false
  ),
  'a chain of write callbacks': streaming(
    (stream) =>
      new Promise((_resolve, reject) => {
        const next = (err?: Error | null) => {
          if (err) reject(err)
          else stream.write(PCM, next)
        }
        next()
      })
  ),
  'a chain of write callbacks that looks at no error': streaming((stream) => {
    const next = () => {
      stream.write(PCM, next)
    }
    next()
    return new Promise(() => {})
  }, false),
  'pipeline of a generator': streaming((stream) => pipeline(forever, stream)),
  'pipeline of an async generator': streaming((stream) =>
    pipeline(async function* () {
      for (;;) yield PCM
    }, stream)
  ),
  'pipe of a Readable': streaming((stream) => {
    Readable.from(forever()).pipe(stream)
    return once(stream, 'close')
  }),
  'a web stream': streaming((stream) => {
    const source = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(PCM))
    })
    return source.pipeTo(Writable.toWeb(stream) as WritableStream<Uint8Array>)
  }),
  'a writer of a web stream': streaming(async (stream) => {
    const writer = (Writable.toWeb(stream) as WritableStream<Uint8Array>).getWriter()
    for (;;) await writer.write(PCM)
  }),
  'await each mark until destroyed': streaming(async (stream) => {
    while (!stream.destroyed) {
      stream.write(PCM)
      await stream.mark('said')
    }
  }),
  'await each mark': streaming((stream) => swallowing(() => stream.mark('silence')), false),
  'write and clear until destroyed': streaming(async (stream) => {
    while (!stream.destroyed) {
      const room = stream.write(LONG)
      stream.clear()
      if (!room) await once(stream, 'drain')
    }
  }),
  'mark and clear until destroyed': streaming(async (stream) => {
    while (!stream.destroyed) {
      stream.write(PCM)
      const mark = stream.mark('said')
      stream.clear()
      await mark
    }
  }),
  'write to a stream that is read slowly, until destroyed': streaming(async (stream) => {
    const read = async () => {
      for await (const pcm of stream) await new Promise((resolve) => setTimeout(resolve, pcm.length / 64))
    }
    await Promise.all([read(), untilDestroyed(stream)])
  }),
  'an echo of many times what it hears': streaming(async (stream) => {
    for await (const pcm of stream) {
      for (let i = 0; i < 200; i++) if (!stream.write(pcm)) await once(stream, 'drain')
    }
  }),
  'utterance upon utterance until destroyed': streaming(async (stream) => {
    while (!stream.destroyed) {
      const utterance = stream.utterance()
      utterance.write(PCM)
      utterance.end()
      await utterance.done
    }
  }),
  'one utterance for ever': streaming(async (stream) => {
    const utterance = stream.utterance()
    for (;;) if (!utterance.write(PCM)) await once(stream, 'drain')
  }),
  'one utterance that was cleared': streaming(async (stream) => {
    const utterance = stream.utterance()
    utterance.write(PCM)
    stream.clear()
    while (!stream.destroyed) if (!utterance.write(PCM)) await once(stream, 'drain')
  }),
  'utterances that are cleared until destroyed': streaming(async (stream) => {
    while (!stream.destroyed) {
      const utterance = stream.utterance()
      utterance.write(PCM)
      stream.clear()
      await utterance.done
    }
  }),
  'await each file until destroyed': file(async (stream) => {
    while (!stream.destroyed) await stream.play(PCM)
  }),
  'await each file': file((stream) => swallowing(() => stream.play(PCM)), false),
  'await each queued file until destroyed': file(async (stream) => {
    while (!stream.destroyed) await stream.play(PCM, { queue: true })
  }),
  'a file that can not be played, errors swallowed': file(
    (stream) => swallowing(() => stream.play(Buffer.alloc(0))),
    false
  ),
  'a file and clear until destroyed': file(async (stream) => {
    while (!stream.destroyed) {
      const played = stream.play(PCM)
      stream.clear()
      await played
    }
  }),
  'marks where only files are played, errors swallowed': file(
    (stream) => swallowing(() => stream.mark('said')),
    false
  )
}
