import { ERR_CREDENTIALS } from '../model/errors.js'

export interface Credentials {
  username: string
  password: string
}

/**
 * Bytes of username and password together, in UTF-8, that jambonz can send on a websocket: with 90 the password
 * arrives without its last byte, with more there is no Authorization header at all (mod_audio_fork).
 */
export const MAX_CREDENTIALS_BYTES = 89

const CONTROL_CHARACTERS = /\p{Cc}/u

/**
 * Checks HTTP Basic credentials that jambonz is to send. `name` says whose they are, as in `auth` or `[0] listen.wsAuth`.
 * Throws FST_JAMBONZ_CREDENTIALS.
 */
export function checkCredentials(name: string, { username, password }: Credentials): void {
  if (username === '' || password === '') {
    throw new ERR_CREDENTIALS(
      name,
      `${username === '' ? 'username' : 'password'} is empty, and jambonz then sends no credentials: set both, or neither`
    )
  }
  if (username.includes(':')) {
    throw new ERR_CREDENTIALS(
      name,
      'username has a colon, where HTTP Basic begins the password: choose one without'
    )
  }
  if (CONTROL_CHARACTERS.test(username + password)) {
    throw new ERR_CREDENTIALS(
      name,
      "a control character, such as a line feed, is in them: jambonz can't hand them to its media server"
    )
  }
  const bytes = Buffer.byteLength(username) + Buffer.byteLength(password)
  if (bytes > MAX_CREDENTIALS_BYTES) {
    throw new ERR_CREDENTIALS(
      name,
      `username and password are ${bytes} bytes together, and jambonz sends at most ${MAX_CREDENTIALS_BYTES}: shorten them`
    )
  }
}
