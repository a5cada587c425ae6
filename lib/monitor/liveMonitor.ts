import type { FastifyPluginAsync } from 'fastify'
import type { AudioStream } from '../audio/index.js'
import { ERR_MONITOR } from '../model/errors.js'
import type {} from '../plugin.js'
import { Feed } from './Feed.js'
import { listenIn } from './listenIn.js'

/**
 * Two websockets for whoever watches over calls. `GET <prefix>/live` tells of the calls of all instances and of the
 * levels of this one's streams, as `MonitorMessage`s. `GET <prefix>/live/<id of a listen>` is the audio of a stream of
 * this instance as it comes, L16 in binary frames: bounded in delay, for any number of supervisors; one who is too slow
 * misses some, and nobody hears what a paused recording leaves out.
 *
 * Both show calls to whoever opens them: register it in a scope whose hooks guard it. Throws FST_JAMBONZ_MONITOR.
 */
export const liveMonitor: FastifyPluginAsync = async (fastify) => {
  if (!fastify.hasDecorator('jambonz')) throw new ERR_MONITOR()
  const feed = new Feed(fastify.jambonz, fastify.log)
  const streams = new Map<string, AudioStream>()

  fastify.jambonz.calls.events.on('stream', (stream) => {
    const { id } = stream.listen
    streams.set(id, stream)
    stream.done.finally(() => streams.delete(id))
    feed.watch(stream)
  })
  fastify.get('/live', { websocket: true }, (socket) => feed.add(socket))
  fastify.get<{ Params: { id: string } }>('/live/:id', { websocket: true }, (socket, { params: { id } }) =>
    listenIn(streams.get(id), socket)
  )
}
