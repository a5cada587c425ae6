import type { Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

const UNAVAILABLE = 'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

/** Node keeps the response here while it is being written. */
type Answered = Duplex & { _httpMessage?: ServerResponse | null }

/**
 * Ends the socket of every upgrade that is answered with anything but an upgrade. @fastify/websocket does where its
 * hooks run; where they don't - a hook of the host's refused before, the url can't be decoded - the socket stays open
 * and unread, does not see its client go, and `fastify.close()` waits for it. To be called after @fastify/websocket
 * is registered, whose listener begins the answer, until it goes as the server closes: from then on the answer is 503.
 */
export function endRefusedUpgrades(server: Server): void {
  server.on('upgrade', (_request, socket: Answered) => {
    const answer = socket._httpMessage
    if (answer) answer.once('finish', () => socket.destroy())
    else if (server.listenerCount('upgrade') === 1) socket.end(UNAVAILABLE, () => socket.destroy())
  })
}
