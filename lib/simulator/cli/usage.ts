/** The error of an invalid command line. The exit code is then 2. */
export class UsageError extends Error {}

export const USAGE = `Usage: jambonz-simulate <url> [options]

Simulates a phone call through jambonz to the application at <url> and prints what happens. <url> is its call webhook
(http://, https://; localhost:3000/in is http://localhost:3000/in) or its application websocket (ws://, wss://).

The caller
  --audio FILE.wav       the caller says the audio of this file (16-bit PCM WAV)
  --say TEXT             the caller says this text, by espeak-ng; if espeak-ng is not installed, a speech-like signal as
                         long as the text
  --silent               the caller says nothing (default: 3 s of a speech-like signal)
  --press KEYS[@TIME]    the caller presses keys: '#' after the speech, '1@2s' two seconds after the application first
                         listens; may be repeated
  --transcript TEXT[@TIME]  a result of speech recognition, for gather and transcribe; may be repeated
  --hang-up-after TIME   the caller hangs up this long after the answer
  --patience TIME        the caller hangs up after this long without speech, keys or audio left (default: 2s)
  --from, --to NUMBER, --caller-name NAME

The party that a dial reaches (answers after 1 s, says 3 s of another speech-like signal, then hangs up)
  --called-audio FILE.wav, --called-silent        the party says the audio of this file, or nothing
  --called-answer-after, --called-hang-up-after TIME
  --called-refuses STATUS  the party refuses the call with this SIP status: 486 is busy, 603 declined
  --called-absent          the party does not answer until the dial's timeout

jambonz
  --platform 0.9|11      the version of jambonz: 0.9 as measured (default), or 11 as documented (the commercial edition)
  --secret SECRET        the webhook secret with which jambonz signs requests (Jambonz-Signature)
  --auth USER:PASSWORD   HTTP Basic credentials of webhooks, and of sockets with a relative url
  --status-hook URL      where jambonz sends call status events
  --env NAME=VALUE       an application environment variable; may be repeated
  --insecure             accepts self-signed certificates (https, wss)
  --get                  calls the webhook with the method GET
  --outbound             places the call through the REST api of jambonz
  --call-sid, --account-sid, --application-sid SID
  --fault FAULT          a fault of jambonz or the network (may be repeated): slow-upgrade=TIME, no-metadata, late-metadata=TIME,
                         metadata=apostrophe|quote|cut, drop=TIME, stall=FROM+FOR, duplicate-webhook, duplicate-hook,
                         hook-before-close=TIME, no-hook-after-hangup, hang-up-during-upgrade, graceful-shutdown

Running
  --speed X              1 is real time (default), 20 is twenty times faster, max is as fast as the application reads
  --calls N              runs this many calls, as a load test
  --rate N/s             starts this many calls a second in a load test (default: all at once)
  --timeout TIME         ends a call after this long in real time (default: 10m at speed 1, else 60s)
  --save-heard FILE.wav  writes the audio that the caller heard to this file
  --json                 prints one JSON document instead of lines
  --help, --version

TIME is 500ms, 4s, 2m, or a number of seconds. Exit code: 0 success, perhaps with warnings; 1 something failed, or would
fail on jambonz; 2 wrong usage.
`
