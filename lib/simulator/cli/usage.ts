/** The error of an invalid command line: exit code 2. */
export class UsageError extends Error {}

export const USAGE = `Usage: jambonz-simulate <url> [options]

Simulates a phone call through jambonz to the application at <url> and prints what happens. <url> is its call webhook
(http://, https://) or its application websocket (ws://, wss://).

The caller
  --audio FILE.wav       says this (16-bit PCM WAV)
  --say TEXT             says this: espeak-ng when it is installed, otherwise a speech-like signal as long as the text
  --silent               says nothing (default: 3 s of a speech-like signal)
  --press KEYS[@TIME]    presses keys: '#' once the speech is over, '1@2s' two seconds after the application first listens;
                         may be repeated
  --transcript TEXT[@TIME]  what speech recognition hears (gather, transcribe); may be repeated
  --hang-up-after TIME   hangs up this long after the answer
  --patience TIME        hangs up after this long without anything left to say or hear (2s)
  --from, --to NUMBER, --caller-name NAME

The party a dial reaches (answers after 1 s, says 3 s of another speech-like signal, hangs up when all is said)
  --called-audio FILE.wav, --called-silent        says this, or nothing
  --called-answer-after, --called-hang-up-after TIME
  --called-refuses STATUS  does not take the call: 486 is busy, 603 declined
  --called-absent          lets it ring until the dial's timeout

jambonz
  --platform 0.9|11      which one: as measured (default), or the commercial edition as documented
  --secret SECRET        signs requests (Jambonz-Signature)
  --auth USER:PASSWORD   HTTP Basic on webhooks, and on sockets with a relative url
  --status-hook URL      call status events go there
  --env NAME=VALUE       an application environment variable; may be repeated
  --insecure             takes self-signed certificates (https, wss)
  --get                  the webhook is configured as GET
  --outbound             the call was placed through the REST api
  --call-sid, --account-sid, --application-sid SID
  --fault FAULT          misbehaves (may be repeated): slow-upgrade=TIME, no-metadata, late-metadata=TIME,
                         metadata=apostrophe|quote|cut, drop=TIME, stall=FROM+FOR, duplicate-webhook, duplicate-hook,
                         hook-before-close=TIME, no-hook-after-hangup, hang-up-during-upgrade, graceful-shutdown

Running
  --speed X              1 is real time (default), 20 twenty times faster, max as fast as the application takes it
  --calls N              load: this many calls
  --rate N/s             load: this many new calls a second (default: all at once)
  --timeout TIME         tears a call down after this long (real time; 10m, 60s when faster)
  --save-heard FILE.wav  what the caller heard
  --json                 one JSON document instead of the story
  --help

TIME is 500ms, 4s, 2m, or a number of seconds. Exit code: 0 all went well (warnings are shown), 1 something failed or would fail on
jambonz, 2 wrong usage.
`
