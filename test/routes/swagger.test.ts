import Fastify from 'fastify'
import swagger from '@fastify/swagger'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import jambonzListen, { CallWebhookSchema } from '../../lib/index.js'

interface OpenApi {
  paths: Record<
    string,
    Record<
      string,
      {
        requestBody: { content: { 'application/json': { schema: { properties: object } } } }
        responses: object
        summary?: string
      }
    >
  >
}

t.test('@fastify/swagger shows the webhook routes with their schemas', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi: {} })
  await app.register(jambonzListen)
  app.jambonz
    .webhook(
      '/in',
      { schema: { summary: 'A call comes in' }, env: { A: { type: 'string', description: 'a' } } },
      async () => []
    )
    .webhook(
      '/typed',
      { schema: { body: Type.Intersect([CallWebhookSchema, Type.Object({ speech: Type.String() })]) } },
      async ({ body }) => [{ verb: 'say', text: body.speech }]
    )
    .actionHook('/done', async () => [])
    .statusHook('/status')
    .audio('/live', () => {})
  await app.ready()
  const { paths } = app.swagger() as unknown as OpenApi
  const bodyOf = (path: string) =>
    paths[path]?.post?.requestBody.content['application/json'].schema.properties
  t.match(bodyOf('/in'), { call_sid: Object, env_vars: Object })
  t.equal(paths['/in']?.post?.summary, 'A call comes in')
  t.notOk(paths['/in']?.options)
  t.match(bodyOf('/done'), { dial_call_duration: Object, digits: Object })
  t.match(bodyOf('/status'), { call_status: Object })
  t.match(paths['/in']?.post?.responses, { 200: Object })
  t.notOk(
    Object.keys(paths).some((path) => path.startsWith('/live')),
    'websocket routes are left out, because OpenAPI has none'
  )

  const good = await app.inject({
    method: 'POST',
    url: '/typed',
    payload: { call_sid: 'c', speech: 'hello' }
  })
  t.same(good.json(), [{ verb: 'say', text: 'hello' }])
  t.equal((await app.inject({ method: 'POST', url: '/typed', payload: { call_sid: 'c' } })).statusCode, 400)
})
