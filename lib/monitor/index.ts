import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { CLOSE, closeSocket } from '../audio/socket/SocketEnd.js'
import { checkOptions } from '../model/checkOptions.js'
import { ERR_MONITOR } from '../model/errors.js'
import { Audience } from './Audience.js'
import { Feed } from './Feed.js'

export type {
  LevelsMessage,
  MonitoredCall,
  MonitorMessage,
  StateMessage,
  StreamLevels,
  WatchMessage
} from './messages.js'

/** The options that Fastify itself takes in `register()`. The monitor has no options of its own. */
const MonitorOptionsSchema = Type.Object(
  {
    prefix: Type.Optional(Type.String()),
    logLevel: Type.Optional(Type.String()),
    logSerializers: Type.Optional(Type.Unknown())
  },
  { additionalProperties: false }
)

/**
 * Two websockets for supervisors. `GET <prefix>/live` sends the calls of all instances and the levels of this
 * instance's streams, as `MonitorMessage`s. `GET <prefix>/live/<id of a listen>` sends the audio of a stream
 * of this instance, live, as L16 in binary frames, to any number of supervisors. The delay is bounded, since
 * audio that waits too long for a slow line is dropped. Private audio is not sent.
 *
 * The monitor does not check who opens its websockets, so register it in a scope whose hooks do. Throws
 * FST_JAMBONZ_MONITOR if the plugin is not registered, and FST_JAMBONZ_OPTIONS for an unknown option.
 */
export const liveMonitor: FastifyPluginAsync = async (fastify, options) => {
  checkOptions(MonitorOptionsSchema, options, 'options of liveMonitor')
  if (!fastify.hasDecorator('jambonz')) throw new ERR_MONITOR()
  const feed = new Feed(fastify.jambonz, fastify.log)
  const audiences = new Map<string, Audience>()

  fastify.jambonz.calls.events.on('stream', (stream) => {
    const { id } = stream.listen
    audiences.set(id, new Audience(stream))
    stream.done.finally(() => audiences.delete(id))
    feed.watch(stream)
  })
  fastify.get('/live', { websocket: true }, (socket) => feed.add(socket))
  // A wildcard is used, since the id of a listen could exceed the application's `maxParamLength` for a parameter.
  fastify.get<{ Params: { '*': string } }>('/live/*', { websocket: true }, (socket, { params }) => {
    const audience = audiences.get(params['*'])
    if (audience) audience.add(socket)
    else closeSocket(socket, CLOSE.badStart, 'this instance has no such stream')
  })
}

export default liveMonitor
