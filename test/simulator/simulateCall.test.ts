import t from 'tap'
import { createServer, type Server } from 'node:http'
import { WebSocketServer } from 'ws'
import { simulateCall } from '../../lib/simulator/index.js'

function application (): { server: Server, audio: Buffer[] } {
  const audio: Buffer[] = []
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'audio.jambonz.org' })
  const replies: Record<string, unknown> = {
    '/in': [{ verb: 'say', text: 'Leave a message.' }, { verb: 'listen', url: '/audio', actionHook: '/done', finishOnKey: '#' }],
    '/done': [{ verb: 'hangup' }]
  }
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(replies[request.url!]))
    })
  })
  server.on('upgrade', (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, socket => {
      socket.on('message', (data, binary) => { if (binary) audio.push(data as Buffer) })
    })
  })
  return { server, audio }
}

t.test('a call runs through an application of this process without a port', async t => {
  const { server, audio } = application()
  const story = await simulateCall({ app: server, hook: '/in', press: '#' })
  t.strictSame(story.errors, [])
  t.equal(story.hangupBy, 'jambonz')
  t.match(story.requests.map(request => request.kind), ['webhook', 'hook'])
  t.equal(story.requests[1]!.payload && (story.requests[1]!.payload as { digits: string }).digits, '#')
  t.ok(Buffer.concat(audio).equals(story.listens[0]!.sent.pcm!), 'the server got the very bytes the story kept')
  t.equal(audio[0]!.length, 640, 'the first message holds two frames')
})
