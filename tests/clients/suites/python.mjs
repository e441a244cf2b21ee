// The Python SDK (PyPI: atproto) in a process of its own; python/client.py says what it does.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const RUN_LIMIT_MS = 90_000
const INSTALL_LIMIT_MS = 300_000

export default async function python(runner, { url, plc, python: wanted }) {
  if (!wanted) return runner.skip('Python atproto', '--no-python')
  try {
    await run('python3', ['-m', 'pip', '--version'])
  } catch {
    return runner.skip('Python atproto', 'this machine has no python3 with pip')
  }
  await runner.suite('Python atproto', async (test) => {
    const packages = await install()
    const { stdout, stderr } = await run('python3', ['-s', here('python/client.py'), url, plc], {
      env: { ...process.env, PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1', no_proxy: '*' },
      timeout: RUN_LIMIT_MS,
      maxBuffer: 16 * 1024 * 1024,
    })
    const results = stdout.trim().split('\n').map((line) => JSON.parse(line))
    if (results.length === 0) throw new Error(`client.py ran no test: ${stderr}`)
    for (const { name, ok, detail } of results) {
      await test(name, () => {
        if (!ok) throw new Error(detail)
      })
    }
  })
}

/** The folder with the pinned packages, installed once for each content of requirements.txt. */
async function install() {
  const requirements = here('python/requirements.txt')
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12)
  const folder = here(`.python/${hash}`)
  if (existsSync(folder)) return folder
  const half = `${folder}.${process.pid}`
  mkdirSync(half, { recursive: true })
  const options = ['--quiet', '--disable-pip-version-check', '--no-deps', '--root-user-action=ignore', '--target', half]
  await run('python3', ['-m', 'pip', 'install', ...options, '-r', requirements], { timeout: INSTALL_LIMIT_MS })
  try {
    renameSync(half, folder)
  } catch {
    rmSync(half, { recursive: true, force: true }) // another run was first
  }
  return folder
}
