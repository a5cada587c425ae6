import createError from '@fastify/error'

// One table, grouped by where an error arises. Each message says what was wrong and what to do.

// Registration
export const ERR_OPTIONS = createError('FST_JAMBONZ_OPTIONS', 'fastify-jambonz-listen: %s', 500, TypeError)
export const ERR_CREDENTIALS = createError('FST_JAMBONZ_CREDENTIALS', '%s: %s', 500, TypeError)
export const ERR_AUDIO_PATH = createError('FST_JAMBONZ_AUDIO_PATH', 'audio path "%s": %s', 500, TypeError)

// Verbs on their way out (lib/verbs)

// The audio socket (lib/audio, routes/audio)

// Recording (lib/recording)

// Store (lib/calls)

// Webhooks and hooks on their way in (lib/webhook, routes)
