import type { FastifyInstance } from 'fastify'
import type { FinishedRecording, Listen } from '../../lib/index.js'

// docs/ shows this use of `request.listen.recording`. `npm run typecheck` checks that it compiles.
export function readsRecordings(fastify: FastifyInstance): void {
  fastify.jambonz.actionHook('/done', async (request) => {
    const recording = request.listen.recording
    const state: 'saved' | 'spooled' | 'partial' | undefined = recording?.state
    const sha256: string | undefined = recording?.sha256
    const peakDb: number | undefined = recording?.levels?.[0]?.peakDb
    const pausedMs: number | undefined = recording?.pauses[0]?.durationMs
    const filled: boolean | undefined = recording?.gaps[0]?.filled
    const second: string | undefined = recording?.segments?.[1]?.location
    const recovered: boolean | undefined = recording?.recovered
    const encrypted: boolean | undefined = recording?.encrypted
    request.log.info({ state, sha256, peakDb, pausedMs, filled, second, recovered, encrypted })
    return []
  })
  fastify.jambonz.calls.events.on('recordingSpooled', (recording, listen) => {
    const same: FinishedRecording = recording
    const of: Listen = listen
    fastify.log.info({ location: same.location, callSid: of.callSid })
  })
}
