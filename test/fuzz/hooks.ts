import assert from 'node:assert/strict'
import Fastify from 'fastify'
import fc from 'fast-check'
import jambonzListen from '../../lib/index.js'
import type { FuzzTarget } from './target.js'

const paths = fc.constantFrom('/call', '/done', '/status', '/audio', '/audio/ended')
const keys = fc.constantFrom(
  'call_sid',
  'parent_call_sid',
  'call_status',
  'direction',
  'from',
  'to',
  'sip',
  'sip_status',
  'customerData',
  'env_vars',
  'dial_call_duration',
  'digits',
  'verb_id',
  'duration',
  'caller_name',
  '__proto__',
  'constructor'
)
const payload = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .dictionary(
        keys,
        fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom('completed', 'in-progress', 'x'.repeat(300))),
        { maxKeys: 8 }
      )
      .map((body) => JSON.stringify({ call_sid: 'call', ...body }))
  },
  { weight: 1, arbitrary: fc.json() },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  { weight: 1, arbitrary: fc.jsonValue().map((json) => `\uFEFF${JSON.stringify(json)}`) }
)
const query = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  { weight: 1, arbitrary: fc.webQueryParameters().map((text) => `?${text}`) },
  {
    weight: 2,
    arbitrary: fc.string().map((text) => `?listen=${encodeURIComponent(Buffer.from(text).toString())}`)
  }
)
const type = fc.constantFrom(
  'application/json',
  'application/json; charset=utf-8',
  'text/plain',
  'application/x-www-form-urlencoded',
  '',
  'application/JSON;charset=x'
)
const OTHER_METHODS = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'] as const

/**
 * Random requests are sent to the plugin's routes. Each must be answered, or refused with a status below 500.
 */
export const hooks: FuzzTarget = {
  name: 'hooks',
  share: 3,
  async begin() {
    const app = Fastify()
    await app.register(jambonzListen)
    app.jambonz.webhook('/call', () => [{ verb: 'listen', actionHook: '/done' }])
    app.jambonz.actionHook('/done', () => [{ verb: 'hangup' }])
    app.jambonz.statusHook('/status')
    await app.ready()
    return {
      property: fc.asyncProperty(
        fc.oneof(
          { weight: 6, arbitrary: fc.constant('POST' as const) },
          { weight: 1, arbitrary: fc.constantFrom(...OTHER_METHODS) }
        ),
        paths,
        query,
        type,
        payload,
        async (method, path, search, contentType, body) => {
          const headers = contentType === '' ? {} : { 'content-type': contentType }
          const withBody = method !== 'GET' && method !== 'HEAD'
          const response = await app.inject({
            method,
            url: path + search,
            headers,
            ...(withBody && { payload: body })
          })
          assert.ok(response.statusCode < 500, `${response.statusCode} ${response.body}`)
        }
      ),
      end: () => app.close()
    }
  }
}
