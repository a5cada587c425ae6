/** recordings shown at first, and with each further step */
const PAGE = 50

/**
 * The recordings as the plugin leaves them: a folder a day, and in it of each a WAV and its sidecar, the Listen as JSON.
 * Names sort by time. Resolves to Listens with their `file`.
 */
export class Archive {
  #known = new Set()
  /** names, newest first, of those that nobody has asked for yet, and days that nobody has looked at */
  #waiting = []
  #days

  get hasOlder() {
    return this.#waiting.length > 0 || this.#days?.length > 0
  }

  /** What is new; at first, the newest. A call that ends after midnight belongs to the day before. */
  async newest() {
    const { dirs } = await ask('')
    const days = dirs.sort().reverse()
    const names = await this.#namesOf(days.slice(0, 2))
    if (this.#days) return await this.#read(names)
    this.#days = days.slice(2)
    this.#waiting = names
    return await this.older()
  }

  /** The next ones, older than those that have been asked for. */
  async older() {
    while (this.#waiting.length < PAGE && this.#days.length > 0) {
      this.#waiting.push(...(await this.#namesOf([this.#days.shift()])))
    }
    return await this.#read(this.#waiting.splice(0, PAGE))
  }

  /** Of what is complete: such a name has a dot only before the extension. */
  async #namesOf(days) {
    const folders = await Promise.all(
      days.map(async (day) => {
        const { files } = await ask(`${day}/`)
        return files
          .filter((name) => /^[^.]+\.json$/.test(name))
          .sort()
          .reverse()
          .map((name) => `${day}/${name}`)
      })
    )
    const names = folders.flat().filter((name) => !this.#known.has(name))
    for (const name of names) this.#known.add(name)
    return names
  }

  async #read(names) {
    const listens = await Promise.all(
      names.map(async (name) => {
        const listen = await ask(name).catch(() => undefined)
        return { ...listen, file: name.replace(/json$/, 'wav') }
      })
    )
    return listens.filter(({ recording }) => recording)
  }
}

async function ask(path) {
  const response = await fetch(`recordings/${path.split('/').map(encodeURIComponent).join('/')}`)
  if (!response.ok) throw new Error(`recordings/${path}: status ${response.status}`)
  return await response.json()
}
