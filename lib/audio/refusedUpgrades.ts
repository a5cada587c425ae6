import type { Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** Node keeps the response here while it is being written. */
type Answered = Duplex & { _httpMessage?: ServerResponse | null }

/**
 * Ends the socket of every upgrade that is answered with anything but an upgrade. @fastify/websocket does where its
 * hooks run; where they don't - a hook of the host's refused before, the url can't be decoded - the socket stays open
 * and unread, does not see its client go, and `fastify.close()` waits for it. To be called after @fastify/websocket
 * is registered, whose listener begins the answer.
 */
export function endRefusedUpgrades (server: Server): void {
  server.on('upgrade', (_request, socket: Answered) => {
    socket._httpMessage?.once('finish', () => socket.destroy())
  })
}
