import t, { type Test } from 'tap'
import { applyPatch, newCall } from '../../lib/model/callWrite.js'
import { prepareVerbs, type HandlerResult } from '../../lib/verbs/index.js'
import { acceptedByJambonz, CALL, verbContext } from '../helpers/verbContext.js'
import { LISTEN_ROWS, type ListenRow } from './listenRows.js'

type Data = Record<string, unknown>

/**
 * The ways in which an application can request a listen, each with the place of the listen in the sent verbs.
 */
const WAYS: Array<{
  way: string
  ask: (listen: Data) => object
  find: (verb: Data) => unknown
  nested?: 'dial'
}> = [
  { way: "{ verb: 'listen' }", ask: (listen) => ({ verb: 'listen', ...listen }), find: (verb) => verb },
  { way: "{ verb: 'stream' }", ask: (listen) => ({ verb: 'stream', ...listen }), find: (verb) => verb },
  { way: '{ listen: {} }', ask: (listen) => ({ listen }), find: (verb) => verb },
  {
    way: 'dial.listen',
    ask: (listen) => ({ verb: 'dial', target: [{ type: 'user', name: 'bob' }], listen }),
    find: (verb) => verb.listen,
    nested: 'dial'
  },
  {
    way: 'dial.stream',
    ask: (stream) => ({ dial: { target: [{ type: 'user', name: 'bob' }], stream } }),
    find: (verb) => verb.stream,
    nested: 'dial'
  }
]

for (const { way, ask, find, nested } of WAYS) {
  t.test(way, async (t) => {
    for (const row of LISTEN_ROWS) {
      t.test(row.says, async (t) => {
        check(t, row, ask(row.listen), find, nested)
      })
    }
  })
}

function check(t: Test, row: ListenRow, asked: object, find: (verb: Data) => unknown, nested?: 'dial'): void {
  const before = structuredClone(asked)
  if (row.refused !== undefined) {
    t.throws(() => prepareVerbs(asked as HandlerResult, verbContext()), { message: row.refused })
    return
  }
  const { verbs, listens } = prepareVerbs(asked as HandlerResult, verbContext())
  const sent = find(verbs[0] as Data) as Data
  t.match(sent, row.sends ?? {})
  for (const property of row.omits ?? []) t.notOk(property in sent, `jambonz gets no ${property}`)
  const kept = applyPatch(newCall(CALL.callSid), { listens }).listens
  t.match(kept, [{ callSid: CALL.callSid, nested, ...row.expects }])
  t.doesNotThrow(() => acceptedByJambonz(verbs), "both of jambonz' validators accept the verbs")
  t.same(asked, before, "the handler's object is not changed")
}
