import { parseArgs } from 'node:util'
import { Bench } from './harness/Bench.js'
import { compile } from './harness/compile.js'
import { describeEnvironment } from './harness/environment.js'
import { startRedis } from './harness/redis.js'
import { saveResults, type Part } from './harness/results.js'
import { sections } from './sections/index.js'

const HELP = `npm run bench -- [options]

  --quick            a first look, within a minute
  --only <names>     of ${Object.keys(sections).join(', ')}; separated by commas
  --out <file>       renews the tables there as well, such as test/bench/RESULTS.md
  --node=<options>   of the measured processes, such as --node="--cpu-prof"`

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    out: { type: 'string' },
    node: { type: 'string', default: '' },
    help: { type: 'boolean', default: false }
  }
})

if (options.help) console.log(HELP)
else await run()

async function run(): Promise<void> {
  const names =
    options.only?.split(',') ??
    Object.keys(sections).filter((name) => !options.quick || sections[name]?.quick)
  const unknown = names.find((name) => sections[name] === undefined)
  if (unknown !== undefined) throw new Error(`there is no section "${unknown}"\n\n${HELP}`)

  const snapshot = compile()
  const bench = new Bench((entry) => [snapshot.entry(entry)], options.node.split(' ').filter(Boolean))
  const redis = await startRedis()
  const began = Date.now()
  const parts: Part[] = []
  const environment = describeEnvironment()
    .map((line) => `- ${line}`)
    .join('\n')
  try {
    console.log(environment)
    const load = await bench.load()
    for (const name of names) {
      const section = sections[name]
      if (section === undefined) continue
      const text = await section.run({
        bench,
        load,
        quick: options.quick,
        redisPort: redis?.port,
        log: (line) => console.error(`  ${line}`)
      })
      parts.push({ name, text: `## ${section.title}\n\n${text}` })
      console.log(`\n## ${section.title}\n\n${text}`)
    }
    const minutes = Math.ceil((Date.now() - began) / 60_000)
    const run = `\`npm run bench\`${options.only === undefined ? '' : ` of ${names.join(', ')}`}, ${minutes} minutes on ${new Date().toISOString().slice(0, 10)}:`
    if (options.out !== undefined) {
      saveResults(options.out, [{ name: 'machine', text: `${run}\n\n${environment}` }, ...parts])
    }
  } finally {
    await bench.stop()
    redis?.stop()
    snapshot.remove()
  }
}
