import { resolve } from 'node:path'
import ts from 'typescript'

/** A file that is open in an editor. Marks such as `/*1*\/` in its text name positions. */
export interface EditedFile {
  /** Returns the names that the editor suggests at the mark. */
  completions(mark: string): string[]
  /** Returns the hover text of the word after the mark: the word's declaration, then its documentation. */
  hover(mark: string): string
  errors(): string[]
}

/**
 * Asks TypeScript's language service, as an editor does. Use one Editor for all files of a folder, and open
 * all files before the first question: then TypeScript checks the library only once.
 */
export class Editor {
  readonly #folder: string
  readonly #files = new Map<string, string>()
  readonly #service: ts.LanguageService

  /**
   * `folder`: the folder in which TypeScript looks for the files, which need not exist on disk. `options`:
   * compilerOptions of a tsconfig.json.
   */
  constructor(folder: string, options: ts.CompilerOptions) {
    this.#folder = resolve(folder)
    const files = this.#files
    this.#service = ts.createLanguageService({
      getScriptFileNames: () => [...files.keys()],
      getScriptVersion: () => '1',
      getScriptSnapshot: (path) => {
        const content = files.get(path) ?? ts.sys.readFile(path)
        return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content)
      },
      getCurrentDirectory: () => this.#folder,
      getCompilationSettings: () => options,
      getDefaultLibFileName: (settings) => ts.getDefaultLibFilePath(settings),
      fileExists: (path) => files.has(path) || ts.sys.fileExists(path),
      readFile: (path) => files.get(path) ?? ts.sys.readFile(path),
      readDirectory: (...args) => ts.sys.readDirectory(...args),
      directoryExists: (path) => ts.sys.directoryExists(path),
      getDirectories: (path) => ts.sys.getDirectories(path),
      ...(ts.sys.realpath && { realpath: ts.sys.realpath })
    })
  }

  open(text: string): EditedFile {
    const file = resolve(this.#folder, `edited-${this.#files.size}.ts`)
    this.#files.set(file, text)
    const service = this.#service
    const at = (mark: string): number => {
      const index = text.indexOf(`/*${mark}*/`)
      if (index < 0) throw new Error(`no mark ${mark}`)
      return index
    }
    return {
      completions: (mark) =>
        service.getCompletionsAtPosition(file, at(mark), {})?.entries.map(({ name }) => name) ?? [],
      hover: (mark) => {
        const info = service.getQuickInfoAtPosition(file, at(mark) + `/*${mark}*/`.length)
        return `${ts.displayPartsToString(info?.displayParts)}\n${ts.displayPartsToString(info?.documentation)}`
      },
      errors: () =>
        service
          .getSemanticDiagnostics(file)
          .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
    }
  }
}
