// `npm run build` and `npm test` generate compiledVerbs.js from the schemas (.build/compileVerbs.js).

import type { ValidateFunction } from 'ajv'

/** Checks of a verb's data, without `verb`, by the verb's name. */
export declare const verbs: Readonly<Record<string, ValidateFunction | undefined>>
export declare const listen: ValidateFunction
export declare const configListen: ValidateFunction
