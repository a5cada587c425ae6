import Fastify, { type FastifyBaseLogger } from 'fastify'

export interface LogLine {
  level: number
  msg: string
  [key: string]: unknown
}

/** Returns Fastify's own logger (pino), and the lines that it has logged. */
export function keepingLogger(): {
  logger: FastifyBaseLogger
  lines: LogLine[]
  said: (text: string) => LogLine[]
} {
  const lines: LogLine[] = []
  const stream = {
    write: (line: string) => {
      lines.push(JSON.parse(line) as LogLine)
    }
  }
  const { log } = Fastify({ logger: { level: 'info', stream } })
  return { logger: log, lines, said: (text) => lines.filter(({ msg }) => msg.includes(text)) }
}
