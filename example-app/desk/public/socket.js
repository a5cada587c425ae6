/** ms to wait before the page connects again: at first (FIRST_WAIT), and at most (LONGEST_WAIT) */
const FIRST_WAIT = 250
const LONGEST_WAIT = 4_000

/**
 * Opens a websocket to the server, and opens it again whenever it is lost. Calls `on.open()`,
 * `on.message(data)` and `on.lost()`. `silence`: ms without a message after which the connection counts as
 * lost. Returns `close()`, which closes it for good, and `send(data)`, which does nothing while the socket is
 * not open.
 */
export function openSocket(path, on, silence = Infinity) {
  let socket
  let wait = FIRST_WAIT
  let timer
  let closed = false

  async function connect() {
    try {
      const response = await fetch('ticket')
      if (!response.ok) throw new Error(`status ${response.status}`)
      const { ticket } = await response.json()
      const url = new URL(`${path}?ticket=${encodeURIComponent(ticket)}`, location.href)
      url.protocol = url.protocol.replace('http', 'ws')
      if (!closed) attach(new WebSocket(url))
    } catch {
      retry()
    }
  }

  function attach(opened) {
    socket = opened
    socket.binaryType = 'arraybuffer'
    socket.onopen = () => {
      wait = FIRST_WAIT
      on.open?.()
    }
    socket.onmessage = ({ data }) => {
      if (closed) return
      watch()
      on.message(data)
    }
    socket.onclose = retry
    watch()
  }

  function watch() {
    clearTimeout(timer)
    if (silence < Infinity) timer = setTimeout(() => socket.close(), silence)
  }

  function retry() {
    clearTimeout(timer)
    if (closed) return
    on.lost?.()
    timer = setTimeout(connect, wait * (0.75 + Math.random() / 2))
    wait = Math.min(wait * 2, LONGEST_WAIT)
  }

  connect()
  return {
    send(data) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(data)
    },
    close() {
      closed = true
      clearTimeout(timer)
      socket?.close()
    }
  }
}
