import type { Sessions } from './audio/Sessions.js'
import type { Calls } from './calls/Calls.js'

interface Counter {
  name: string
  type: 'counter' | 'gauge'
  help: string
  /** by label, `''` where the metric has none */
  values: Map<string, number>
}

/** What this instance has seen, counted from its events: nothing is added to the audio's path. */
export class Metrics {
  readonly #counters: Counter[] = []
  readonly #sessions: Sessions
  readonly #calls: Calls

  constructor (source: Calls, sessions: Sessions) {
    const { events } = source
    this.#sessions = sessions
    this.#calls = source
    const calls = this.#add('jambonz_calls_total', 'calls heard of')
    const callsEnded = this.#add('jambonz_calls_ended_total', 'calls whose last status event came')
    const streams = this.#add('jambonz_streams_total', 'audio sockets that streamed')
    const listens = this.#add('jambonz_listens_ended_total', 'listens ended, by reason')
    const frames = this.#add('jambonz_audio_frames_total', 'websocket messages with audio, of ended listens')
    const bytes = this.#add('jambonz_audio_bytes_total', 'bytes of audio, of ended listens')
    const gaps = this.#add('jambonz_audio_gap_seconds_total', 'seconds of calls for which no audio came, of ended listens')
    const recordings = this.#add('jambonz_recordings_total', 'recordings, by outcome')

    events.on('call', () => add(calls))
    events.on('callEnded', () => add(callsEnded))
    events.on('stream', () => add(streams))
    events.on('recording', () => add(recordings, 1, '{outcome="saved"}'))
    events.on('recordingFailed', () => add(recordings, 1, '{outcome="failed"}'))
    events.on('listenEnded', ({ endReason, audio }) => {
      add(listens, 1, `{reason="${endReason}"}`)
      add(frames, audio.frames)
      add(bytes, audio.bytes)
      add(gaps, audio.gapMs / 1000)
    })
  }

  #add (name: string, help: string): Counter {
    const counter: Counter = { name, type: 'counter', help, values: new Map() }
    this.#counters.push(counter)
    return counter
  }

  /** Prometheus' text exposition format, version 0.0.4. */
  text (): string {
    const { available, pending, dropped } = this.#calls.health()
    const now = [
      gauge('jambonz_streams_live', 'open audio sockets', this.#sessions.size),
      gauge('jambonz_store_available', '1: the calls\' store can be reached; 0: calls go on from this instance\'s memory', Number(available)),
      gauge('jambonz_store_pending_calls', 'calls with something that is yet to be written to the store', pending),
      { ...gauge('jambonz_store_dropped_calls_total', 'calls whose waiting writes had to be given up', dropped), type: 'counter' as const }
    ]
    return [...this.#counters, ...now].map(({ name, type, help, values }) => {
      const samples = Array.from(values, ([labels, value]) => `${name}${labels} ${value}\n`).join('')
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples}`
    }).join('')
  }
}

function gauge (name: string, help: string, value: number): Counter {
  return { name, type: 'gauge', help, values: new Map([['', value]]) }
}

function add ({ values }: Counter, amount = 1, labels = ''): void {
  values.set(labels, (values.get(labels) ?? 0) + amount)
}
