import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { WriteStream } from 'node:fs'
import websocket from '@fastify/websocket'
import { createEndpoint } from '@jambonz/sdk/websocket'
import Fastify from 'fastify'
import { Files } from './Files.js'
import type { Serve } from './types.js'

const LOGGER = { info() {}, error: console.error, debug() {} }

/** An application with the audio stream of @jambonz/sdk, which writes to createWriteStream(). */
export const serveSdk: Serve = async ({ directory }) => {
  const files = new Files(directory)
  const server = createServer()
  const makeService = createEndpoint({ server, logger: LOGGER })
  makeService.audio({ path: '/audio' }).on('connection', (stream) => {
    const file = files.create(stream.callSid)
    stream.on('audio', (audio) => {
      file.write(audio)
    })
    stream.on('close', () => {
      file.end()
    })
  })
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, recordings: () => files.complete() }
}

/** An application with @fastify/websocket, which writes to createWriteStream(). */
export const serveFastifyWebsocket: Serve = async ({ directory }) => {
  const files = new Files(directory)
  const fastify = Fastify()
  await fastify.register(websocket)
  fastify.get('/audio', { websocket: true }, (socket) => {
    let file: WriteStream | undefined
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) file?.write(data)
      else file ??= files.create((JSON.parse(data.toString()) as { callSid: string }).callSid)
    })
    socket.on('close', () => {
      file?.end()
    })
  })
  await fastify.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
  return { port: (fastify.server.address() as AddressInfo).port, recordings: () => files.complete() }
}
