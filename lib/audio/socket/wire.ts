// What the audio socket's two ends do to each other, in numbers. Sources: mod_audio_fork (lws_glue.cpp) and
// feature-server lib/tasks/listen.js. "lot" is the amount of audio that the module hands over to the caller at once.

/** ms that jambonz has to close after we asked, before the next stronger means. */
export const CLOSE_PATIENCE = 2_000

/** jambonz -> us: longest text worth parsing, in bytes. Its own are under 8,192 (the initial metadata's limit). */
export const MAX_TEXT = 262_144
/** jambonz -> us: texts looked at within one second. A burst of marks after a clear is 30; the rest is a flood. */
export const MAX_TEXTS_PER_SECOND = 500

/** DTMF durations are in samples of 8 kHz, whatever the call's rate (feature-server lib/tasks/listen.js). */
export const DTMF_SAMPLES_PER_MS = 8

/** us -> jambonz, streaming: nothing is played before this much has come, in ms at 8 kHz calls (1,280 samples). */
export const PREBUFFER_MS = 160
/** us -> jambonz, streaming: afterwards audio is handed over in lots of at least this (640 samples). */
export const LOT_MS = 80
/** us -> jambonz: marks waiting at once; the module drops a further one without a word. */
export const MAX_MARKS = 30
