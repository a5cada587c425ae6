/** number of recordings to show first, and to add with each click */
const PAGE = 50

/**
 * Reads the recordings that the plugin has written: a folder for each day, which contains a WAV and a sidecar
 * (the Listen as JSON) for each recording. File names sort by time. Its methods resolve to Listens, each with
 * the name of its WAV as `file`.
 */
export class Archive {
  #known = new Set()
  /**
   * Names of files that were listed but not read yet (`#waiting`), and days whose folders were not listed yet
   * (`#days`); both newest first.
   */
  #waiting = []
  #days

  get hasOlder() {
    return this.#waiting.length > 0 || this.#days?.length > 0
  }

  /**
   * Resolves to the recordings that are new since the last call; the first call resolves to the newest page.
   * It lists two days, because a call that ends after midnight is in the folder of the day before.
   */
  async newest() {
    const { dirs } = await ask('')
    const days = dirs.sort().reverse()
    const names = await this.#namesOf(days.slice(0, 2))
    if (this.#days) return await this.#read(names)
    this.#days = days.slice(2)
    this.#waiting = names
    return await this.older()
  }

  /** Resolves to the next page of older recordings. */
  async older() {
    while (this.#waiting.length < PAGE && this.#days.length > 0) {
      this.#waiting.push(...(await this.#namesOf([this.#days.shift()])))
    }
    return await this.#read(this.#waiting.splice(0, PAGE))
  }

  /**
   * Resolves to the names of complete recordings that were not listed before. Such a name has only one dot,
   * before its extension.
   */
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
