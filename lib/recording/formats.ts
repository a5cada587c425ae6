import { spawn, spawnSync } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import { constants, setPriority } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { thrownMessage } from '../model/json.js'
import { ERR_RECORDING_FFMPEG } from '../model/errors.js'
import { closeFile, hasCode, openRegular, remove, writeNew } from './directory/files.js'
import { ENCRYPTED, ENCRYPTED_WAV, WAV } from './directory/names.js'
import { decryptRecording, encryptStream } from './encryption.js'
import type { Encryption, Format, ResolvedRecordingOptions } from './options.js'

const ONLY_ERRORS = ['-hide_banner', '-nostdin', '-v', 'error']
const MAX_STDERR = 2_000
/** Bytes of silence that ffmpeg compresses as a test: 100 ms */
const PROBE_BYTES = 1_600

interface FormatFacts {
  extension: string
  contentType: string
  /** arguments of ffmpeg */
  ffmpeg: string[]
}

// The bit rates of Opus and MP3 are high enough that telephone speech sounds the same. FLAC is lossless.
const FORMATS: Record<Format, FormatFacts> = {
  wav: { extension: '.wav', contentType: 'audio/wav', ffmpeg: [] },
  flac: { extension: '.flac', contentType: 'audio/flac', ffmpeg: ['-c:a', 'flac', '-f', 'flac'] },
  opus: {
    extension: '.opus',
    contentType: 'audio/ogg; codecs=opus',
    ffmpeg: ['-c:a', 'libopus', '-b:a', '32k', '-f', 'ogg']
  },
  mp3: {
    extension: '.mp3',
    contentType: 'audio/mpeg',
    ffmpeg: ['-c:a', 'libmp3lame', '-q:a', '4', '-f', 'mp3']
  }
}

/** Returns true if the options ask for complete recordings to be compressed or sent. */
export function needsMore({ format, sink }: Pick<ResolvedRecordingOptions, 'format' | 'sink'>): boolean {
  return format !== 'wav' || sink !== undefined
}

/** Returns the extension of a recording once it is compressed. */
export function finalExtension({
  format,
  encryption
}: Pick<ResolvedRecordingOptions, 'format' | 'encryption'>): string {
  return FORMATS[format].extension + (encryption ? ENCRYPTED : '')
}

/** Returns the extension of a recording before it is compressed. */
export function audioExtension({ encryption }: Pick<ResolvedRecordingOptions, 'encryption'>): string {
  return encryption ? ENCRYPTED_WAV : WAV
}

export function contentTypeOf(format: Format): string {
  return FORMATS[format].contentType
}

export function ffmpegArguments(format: Format): string[] {
  return FORMATS[format].ffmpeg
}

export interface Compression {
  ffmpeg: string
  format: Format
  encryption: Encryption | undefined
  signal: AbortSignal
}

/**
 * Checks that ffmpeg can make a format. Throws FST_JAMBONZ_RECORDING_FFMPEG if it can't. Blocks the process,
 * so it is for use at registration only.
 */
export function checkFfmpeg(ffmpeg: string, format: Format): void {
  const { error, status, stderr } = probeFfmpeg(ffmpeg, format)
  // EPIPE means that ffmpeg did not read its input; its exit status tells why.
  if (error && !hasCode(error, 'EPIPE')) {
    throw new ERR_RECORDING_FFMPEG(`"${ffmpeg}" can't be run (${error.message})`, { cause: error })
  }
  if (status !== 0) {
    throw new ERR_RECORDING_FFMPEG(`"${ffmpeg}" can't make ${format} (${stderr.toString().trim()})`)
  }
}

/** Runs ffmpeg on a piece of silence. Throws FST_JAMBONZ_RECORDING_FFMPEG if this process may run no program. */
function probeFfmpeg(
  ffmpeg: string,
  format: Format
): { error?: Error; status: number | null; stderr: Buffer } {
  try {
    return spawnSync(
      ffmpeg,
      [
        '-hide_banner',
        '-v',
        'error',
        '-f',
        's16le',
        '-ar',
        '8000',
        '-i',
        'pipe:0',
        ...ffmpegArguments(format),
        'pipe:1'
      ],
      { input: Buffer.alloc(PROBE_BYTES), timeout: 10_000 }
    )
  } catch (cause) {
    throw new ERR_RECORDING_FFMPEG(`"${ffmpeg}" can't be run (${thrownMessage(cause)})`, { cause })
  }
}

/**
 * Compresses the complete recording `from` to `to`, in a separate process with the lowest priority. Rejects
 * with FST_JAMBONZ_RECORDING_FFMPEG; in this case, `to` does not exist.
 */
export async function compress(from: string, to: string, compression: Compression): Promise<void> {
  const { ffmpeg, format, encryption, signal } = compression
  // Neither file may be a link, since ffmpeg would follow it.
  await closeFile(await openRegular(from, 'r'))
  await writeNew(to, '')
  const input = encryption ? 'pipe:0' : `file:${from}`
  const output = encryption ? 'pipe:1' : `file:${to}`
  const child = spawn(
    ffmpeg,
    [...ONLY_ERRORS, '-y', '-i', input, '-map_metadata', '-1', ...ffmpegArguments(format), output],
    {
      stdio: [encryption ? 'pipe' : 'ignore', encryption ? 'pipe' : 'ignore', 'pipe'],
      signal
    }
  )
  if (child.pid !== undefined) lowerPriority(child.pid)
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-MAX_STDERR)
  })
  const exited = new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, by) => {
      if (code === 0) resolve()
      else reject(new Error(stderr.trim() || `it ended with ${code ?? by}`))
    })
  })
  try {
    await Promise.all([exited, encryption && pump(from, to, child, encryption)])
  } catch (cause) {
    child.kill('SIGKILL')
    await remove(to)
    throw new ERR_RECORDING_FFMPEG(thrownMessage(cause), { cause })
  }
}

/** Pipes an encrypted recording through ffmpeg. Only encrypted audio reaches the disk. */
async function pump(
  from: string,
  to: string,
  child: { stdin: Writable | null; stdout: Readable | null },
  encryption: Encryption
): Promise<void> {
  if (child.stdin === null || child.stdout === null) return
  const { key } = encryption
  await Promise.all([
    pipeline(createReadStream('', { fd: await openRegular(from, 'r') }), decryptRecording(key), child.stdin),
    pipeline(child.stdout, await encryptStream(to, encryption), createWriteStream(to, { flags: 'r+' }))
  ])
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW)
  } catch {
    // The process has ended, or the system forbids the change. In both cases, the priority stays.
  }
}
