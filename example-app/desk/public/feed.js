/** ms between two tries to reconnect, at first and at most */
const FIRST_WAIT = 250
const LONGEST_WAIT = 4_000
/** ms without a message after which the connection is taken for dead: the server sends one a second */
const SILENCE = 6_000

/**
 * The server's messages. `on.open()`, `on.lost()`, `on.message(json)`, `on.audio(arrayBuffer)`; reconnects by itself
 * for as long as the page is there. Returns the function that sends.
 */
export function openFeed (on) {
  let socket
  let wait = FIRST_WAIT
  let watchdog

  async function connect () {
    try {
      const response = await fetch('ticket')
      if (!response.ok) throw new Error(`status ${response.status}`)
      const { ticket } = await response.json()
      const url = new URL(`live?ticket=${encodeURIComponent(ticket)}`, location.href)
      url.protocol = url.protocol.replace('http', 'ws')
      attach(new WebSocket(url))
    } catch {
      retry()
    }
  }

  function attach (opened) {
    socket = opened
    socket.binaryType = 'arraybuffer'
    watch()
    socket.onopen = () => {
      wait = FIRST_WAIT
      on.open()
    }
    socket.onmessage = ({ data }) => {
      watch()
      if (typeof data === 'string') on.message(JSON.parse(data))
      else on.audio(data)
    }
    socket.onclose = () => {
      clearTimeout(watchdog)
      on.lost()
      retry()
    }
  }

  function watch () {
    clearTimeout(watchdog)
    watchdog = setTimeout(() => socket.close(), SILENCE)
  }

  function retry () {
    setTimeout(connect, wait * (0.75 + Math.random() / 2))
    wait = Math.min(wait * 2, LONGEST_WAIT)
  }

  connect()
  return (message) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
  }
}
