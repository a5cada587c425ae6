import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import type { Serve } from './types.js'

/** The package ws alone, with messages ignored. No server that uses ws can need less CPU. */
export const serveBareWs: Serve = async () => {
  const received = { bytes: 0 }
  return await listen((data) => {
    received.bytes += data.length
  })
}

/** The package ws alone, with each message sent back. */
export const serveBareEcho: Serve = async () => await listen((data, send) => send(data))

async function listen(onAudio: (data: Buffer, send: (data: Buffer) => void) => void) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', backlog: 4096 })
  server.on('connection', (socket) => {
    const send = (data: Buffer): void => {
      socket.send(data)
    }
    socket.on('message', (data, isBinary) => {
      if (isBinary) onAudio(data as Buffer, send)
    })
  })
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port }
}
