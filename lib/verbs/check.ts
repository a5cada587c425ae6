import { newCall } from '../model/callWrite.js'
import type { VerbContext } from './context.js'
import { prepareVerbs } from './prepare.js'
import type { HandlerResult } from './types.js'

/** Nowhere to go yet: the application's audio routes are still to be registered. */
const nowhere: VerbContext = {
  call: newCall(''),
  listenId: String,
  audioUrl: () => undefined,
  hookUrl: (url = '') => url,
  platform: '11',
  defaultActionHook: false
}

/** Throws what `prepareVerbs` would, audio routes aside: for verbs that are known before there is a call. */
export function checkVerbs(verbs: HandlerResult): void {
  prepareVerbs(verbs, nowhere)
}
