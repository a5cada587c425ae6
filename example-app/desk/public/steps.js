import { clock, ending, length, short } from './format.js'

const FAILURES = ['error', 'lost', 'notConnected']

/**
 * Returns the steps of a call: webhook, audio, hook, recording. The state of a step is done, now, next or
 * failed. `legs`: the calls that this call has dialled; `recording`: the state of the recording during the
 * call, or 'private'.
 */
export function stepsOf({ createdAt, endedAt, isOver, callStatus, listens }, legs, recording) {
  const listen = listens.at(-1)
  const steps = [{ text: `Called ${clock(createdAt)}`, state: 'done' }]
  const step = (text, state, why) => steps.push({ text, state, why })
  if (listen?.state === 'streaming') {
    step(...listeningOf(recording))
    if (recording !== 'failed') step('Recording', 'next')
  } else if (listen?.connected) {
    if (!listen.recording) step(`Listened ${length(listen.audio.durationMs)}`, 'done')
    step(ending(listen), FAILURES.includes(listen.endReason) ? 'failed' : 'done')
    if (listen.recording) step(`Recorded ${length(listen.recording.durationMs)}`, 'done')
    else if (listen.recordingError) step('Recording failed', 'failed', listen.recordingError)
  } else if (isOver) {
    step(short(legs.at(-1)?.callStatus ?? callStatus ?? 'over'), 'done')
    // A listen that ended with its call was not to be heard: the caller hung up before it began.
    const couldNotConnect = listen?.endReason && !(listen.endedAt >= endedAt)
    step('nothing was heard', couldNotConnect ? 'failed' : 'done')
  } else {
    step(legs.length > 0 ? 'Ringing' : listen ? 'Greeting' : 'Answering', 'now')
    step('Listening', 'next')
    step('Recording', 'next')
  }
  return steps
}

function listeningOf(recording) {
  // Private audio is not recorded, and users of this page do not hear it either.
  if (recording === 'private') return ['Listening, not recorded', 'now private']
  if (recording === 'failed') return ['Listening, recording failed', 'now failed']
  return ['Listening', 'now']
}
