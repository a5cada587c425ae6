import t from 'tap'
import { closeReason, closeSocket } from '../../lib/audio/socket/SocketEnd.js'
import { closing } from '../helpers/socket.js'
import { streamPair } from '../helpers/streamPair.js'

t.test('a close reason of any length and script fits into a close frame', async (t) => {
  for (const character of ['a', '\u00e9', '\u20ac', '\u{1f600}']) {
    for (let length = 0; length < 200; length++) {
      const reason = character.repeat(length)
      const bytes = closeReason(reason)
      t.ok(bytes.length <= 123 && bytes.length >= Math.min(Buffer.byteLength(reason), 120))
      t.ok(reason.startsWith(bytes.toString()), 'the reason is cut between two characters')
    }
  }
  t.ok(
    closeReason(`${'a'.repeat(122)}\ud800`).length <= 123,
    'half a character at the end does not exceed the limit'
  )
})

t.test('an error of any length that the application throws closes the socket with 1011', async (t) => {
  const { live, socket } = await streamPair(t)
  live.endOrClose('error', 1011, '\u20ac'.repeat(5_000))
  t.same(await closing(socket), { code: 1011, reason: '\u20ac'.repeat(41) })
  closeSocket(socket, 1000)
})

t.test('if the lookup of a listen rejects with a long message, the socket is closed with 1008', async (t) => {
  const { socket, start } = await streamPair(t, {
    started: false,
    known: false,
    identify: async () => {
      throw new Error('\u{1f600}'.repeat(100))
    }
  })
  start()
  t.same(await closing(socket), { code: 1008, reason: '\u{1f600}'.repeat(30) })
})
