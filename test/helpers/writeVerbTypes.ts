import { writeFileSync } from 'node:fs'
import { verbTypes } from './verbTypes.js'

writeFileSync(new URL('../../lib/verbs/jambonzVerbs.ts', import.meta.url), verbTypes())
