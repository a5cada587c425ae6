import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:net'
import { folder } from './build.js'
import { until } from './until.js'

/** Returns the code block of a documentation page whose first line is the comment `# ` and this name. */
export function recipe(page: string, name: string): string {
  const blocks = readFileSync(page, 'utf8').matchAll(/^```\w*\n([^]*?)^```$/gm)
  for (const [, code = ''] of blocks) {
    if (new RegExp(`^(?:#|//) ${name}\\n`).test(code)) return code
  }
  throw new Error(`${page} has no code block that begins with "# ${name}"`)
}

/** A load balancer that Debian packages, and the command that starts it with a configuration file. */
export interface Balancer {
  name: string
  command(file: string, folder: string): [string, ...string[]]
  version: [string, ...string[]]
  env?: NodeJS.ProcessEnv
  /** ms that an instance stays after its drain, until the balancer's health check has seen the drain */
  linger: number
}

export const BALANCERS: readonly Balancer[] = [
  {
    name: 'nginx',
    command: (file, folder) => [
      'nginx',
      '-p',
      folder,
      '-c',
      file,
      '-g',
      `daemon off; pid ${folder}/nginx.pid; error_log stderr error;`
    ],
    version: ['nginx', '-v'],
    linger: 0
  },
  {
    name: 'haproxy',
    command: (file) => ['haproxy', '-db', '-f', file],
    version: ['haproxy', '-v'],
    linger: 0
  },
  {
    name: 'caddy',
    command: (file) => ['caddy', 'run', '--adapter', 'caddyfile', '--config', file],
    version: ['caddy', 'version'],
    linger: 2_000
  }
]

/** Returns the version text of a program; undefined if the program is not installed. */
export function versionOf([command, ...args]: [string, ...string[]]): string | undefined {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  return status === 0 ? /\d+\.\d+[.\d]*/.exec(stdout + stderr)?.[0] : undefined
}

/**
 * Starts a balancer with the recipe in docs/operations/balancers.md. Free ports replace its ports 3001 to
 * 3003 and 8080.
 */
export async function startBalancer(
  { name, command, env }: Balancer,
  ports: { outside: number; instances: readonly number[]; admin: number }
): Promise<{ process: ChildProcess; url: string; config: string }> {
  const directory = folder()
  const config = recipe('docs/operations/balancers.md', `balancer: ${name}`)
    .replaceAll('8080', String(ports.outside))
    .replaceAll(/300([123])/g, (_, at: string) => String(ports.instances[Number(at) - 1]))
  const file = join(directory, name)
  writeFileSync(file, config)
  const [program, ...args] = command(file, directory)
  const child = spawn(program, args, {
    env: { ...process.env, HOME: directory, CADDY_ADMIN: `127.0.0.1:${ports.admin}`, ...env },
    stdio: ['ignore', 'ignore', 'pipe']
  })
  let complaints = ''
  child.stderr.on('data', (data) => (complaints += data))
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${complaints}`)
    return await accepts(ports.outside)
  }, `${name} to listen`)
  return { process: child, url: `http://127.0.0.1:${ports.outside}`, config }
}

async function accepts(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
