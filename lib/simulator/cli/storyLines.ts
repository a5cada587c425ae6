import { quote, type Problem } from '../problems.js'
import type { CommandRecord, ListenRecord, RequestRecord, SimulatorEvent, VerbRecord } from '../types.js'

const MAX_TEXT = 100

/** Returns an event as a printed line, without the time of the event; undefined for events that are not printed. */
export function storyLine(event: SimulatorEvent): [string, string] | undefined {
  switch (event.name) {
    case 'webhook':
      return ['webhook', describeRequest(event.payload)]
    case 'hook':
      return ['hook', describeRequest(event.payload)]
    case 'status':
      return [
        'status',
        `${String((event.payload.payload as { call_status?: unknown } | undefined)?.call_status)} ${describeRequest(event.payload)}`
      ]
    case 'reconnect':
      return ['reconnect', describeRequest(event.payload)]
    case 'event':
      return ['event', `${event.payload.method} ${shorten(JSON.stringify(event.payload.payload))}`]
    case 'command':
      return ['command', describeCommand(event.payload)]
    case 'application:open':
      return ['socket', `${event.payload.url} open`]
    case 'application:close':
      return [
        'socket',
        `${event.payload.url} closed, ${event.payload.closeCode} by ${event.payload.closedBy}`
      ]
    case 'verb':
      return ['verb', describeVerb(event.payload)]
    case 'listen:open':
      return ['open', describeListen(event.payload)]
    case 'listen:refused':
      return ['refused', describeRefusal(event.payload)]
    case 'listen:close':
      return ['closed', describeClose(event.payload)]
    case 'dtmf':
      return ['key', event.payload.digit]
    case 'message':
      return [
        'message',
        shorten(
          typeof event.payload.message === 'string'
            ? event.payload.message
            : withoutAudio(event.payload.message)
        )
      ]
    case 'mark':
      return ['mark', `${event.payload.name} ${event.payload.event}`]
    case 'playDone':
      return [
        'played',
        `${String(event.payload.data.id ?? 'sound')}: ${event.payload.data.playbackMilliseconds} ms`
      ]
    case 'error':
      return ['ERROR', event.payload.text]
    case 'problem':
      return [event.payload.severity.toUpperCase(), event.payload.what]
    case 'hangup':
      return ['hung up', `by ${event.payload.by === 'caller' ? 'the caller' : 'jambonz'}`]
    case 'end':
      return undefined
  }
}

/** Returns a line with its time: `   1.23 s  webhook   …` */
export function timedLine(atMs: number, label: string, text: string): string {
  return `${(atMs / 1000).toFixed(2).padStart(8)} s  ${label.padEnd(8)}  ${text}`
}

/** Returns a number with its noun: `1 listen`, `2 listens`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

function describeRequest(request: RequestRecord): string {
  const { method, url, hook, status, acked, error, latencyMs, attempt, reply } = request
  const verbs = Array.isArray(reply) ? `: ${reply.map(verbName).join(', ') || 'no verbs'}` : ''
  const again = attempt > 1 ? ` (attempt ${attempt})` : ''
  if (request.transport === 'websocket') {
    const what = `${method}${hook === undefined ? '' : ` ${hook}`}`
    if (acked !== true && error === undefined) return what
    return `${what} -> ${error ?? 'ack'} in ${latencyMs} ms${verbs}`
  }
  const said = request.body === undefined ? '' : `: ${quote(request.body)}`
  return `${method} ${url} -> ${status ?? error ?? 'no answer'} in ${latencyMs} ms${again}${verbs}${said}`
}

/** Returns the lines of a problem: what the application did, what jambonz does then, and what to change. */
export function describeProblem({ severity, what, then, change, url }: Problem): string[] {
  const where = url === undefined ? '' : ` (${url})`
  return [`${severity}: ${what}${where}`, `  jambonz: ${then}`, `  change:  ${change}`]
}

function describeRefusal({ refused, url }: ListenRecord): string {
  const { status, text, body } = refused!
  return `${text}${status === undefined ? '' : ` (status ${status})`} ${url}${body === undefined ? '' : `: ${quote(body)}`}`
}

function describeCommand({ command, data, queue, note }: CommandRecord): string {
  const what = Array.isArray(data) ? data.map(verbName).join(', ') : (JSON.stringify(data) ?? '')
  return shorten(`${command}${queue ? ' (queued)' : ''} ${what}${note === undefined ? '' : ` (${note})`}`)
}

function verbName(verb: unknown): string {
  const record = verb as Record<string, unknown>
  return typeof record.verb === 'string' ? record.verb : (Object.keys(record)[0] ?? '?')
}

function describeVerb({ verb, data }: VerbRecord): string {
  const detail = data.text ?? data.url ?? data.length ?? data.actionHook ?? ''
  return shorten(`${verb} ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`)
}

function describeListen({ url, mixType, sampleRate, role, protocol }: ListenRecord): string {
  const chosen = protocol === undefined ? 'no subprotocol, audio.jambonz.org is wanted' : protocol
  return `${url} ${mixType} ${sampleRate} Hz${role === 'listen' ? '' : ` (${role})`}, ${chosen}`
}

function describeClose(listen: ListenRecord): string {
  const { closeCode, closeReason, closedBy, sent, mixType, sampleRate, overrun } = listen
  const reason = closeReason === undefined || closeReason === '' ? '' : ` '${quote(closeReason)}'`
  const ms = (sent.bytes * 1000) / (sampleRate * 2 * (mixType === 'stereo' ? 2 : 1))
  return `${closeCode}${reason} by ${closedBy === 'server' ? 'the server' : 'jambonz'} after ${counted(sent.frames, 'message')}, ${counted(sent.bytes, 'byte')}, ${seconds(ms)} of audio${overrun ? ', with an overrun' : ''}`
}

function withoutAudio(message: unknown): string {
  return JSON.stringify(message, (key, value: unknown) =>
    key === 'audioContent' && typeof value === 'string' ? `<${value.length} characters>` : value
  )
}

function shorten(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}
