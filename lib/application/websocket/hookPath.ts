import type { FastifyRequest } from 'fastify'
import type { Application } from '../Application.js'

const ORIGIN = /^wss?:\/\/[^/?#]*/i

/**
 * Returns the path and query of the route that a hook leads to: a webhook, an actionHook or a statusHook of this plugin.
 * Undefined for anything else: a message opens no other route. Whatever host a ws url names, jambonz asks on this socket; a
 * relative url is taken from that of the socket. The path of `publicUrl` is one that a proxy takes away.
 */
export function hookPath(
  hook: string,
  socket: Pick<FastifyRequest, 'url'>,
  { routes, options }: Pick<Application, 'routes' | 'options'>
): string | undefined {
  const relative = hook.replace(ORIGIN, '')
  const whole = relative.startsWith('/') ? relative : resolved(relative, socket.url)
  const [, path = '', query = ''] = /^([^?#]*)(\?[^#]*)?/.exec(whole) ?? []
  const publicPath = options.publicUrl?.path ?? ''
  const inner = publicPath !== '' && path.startsWith(`${publicPath}/`) ? [path.slice(publicPath.length)] : []
  const found = [path, ...inner].find((candidate) => {
    const kind = routes.kindOf('POST', candidate)
    return kind === 'webhook' || kind === 'actionHook' || kind === 'statusHook'
  })
  return found && found + query
}

function resolved(relative: string, base: string): string {
  const { pathname, search } = new URL(relative === '' ? '/' : relative, `ws://socket${base}`)
  return pathname + search
}
