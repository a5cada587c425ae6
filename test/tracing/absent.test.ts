import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'

/**
 * Returns the source of a module hook. It makes the import of `@opentelemetry/api` fail with this error code,
 * as if the package were not installed.
 */
const hooks = (code: string): string => `export async function resolve (specifier, context, next) {
  if (specifier !== '@opentelemetry/api') return await next(specifier, context)
  throw Object.assign(new Error('Cannot find package @opentelemetry/api'), { code: '${code}' })
}`

const APPLICATION = `
import Fastify from 'fastify'
import jambonzListen from './dist/lib/index.js'

const asked = await import('@opentelemetry/api').catch(({ code }) => code)
const fastify = Fastify()
await fastify.register(jambonzListen)
fastify.jambonz.webhook('/in', async () => [{ verb: 'listen' }])
const response = await fastify.inject({ method: 'POST', url: '/in', payload: { call_sid: 'a' }, headers: { b3: '80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1' } })
const call = await fastify.jambonz.calls.get('a')
await fastify.close()
console.log(JSON.stringify({ asked, statusCode: response.statusCode, verbs: response.json(), listen: call.listens[0] }))
`

const url = (module: string): string => `data:text/javascript,${encodeURIComponent(module)}`

for (const [code, thrown] of [
  ['ERR_MODULE_NOT_FOUND', 'by Node.js'],
  ['MODULE_NOT_FOUND', 'by the code that a bundler such as webpack generates']
] as const) {
  t.test(`without @opentelemetry/api, everything but tracing works (error thrown ${thrown})`, async (t) => {
    const register = url(
      `import { register } from 'node:module'; register(${JSON.stringify(url(hooks(code)))})`
    )
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ['--import', register, '--input-type=module', '-e', APPLICATION],
      {
        env: { ...process.env, _TAPJS_PROCESSINFO_COVERAGE_: '0' }
      }
    )
    t.equal(stderr, '')
    const { asked, statusCode, verbs, listen } = JSON.parse(stdout)
    t.equal(asked, code)
    t.equal(statusCode, 200)
    t.match(verbs, [{ verb: 'listen' }])
    t.equal(listen.trace, undefined)
  })
}
