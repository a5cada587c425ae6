#!/usr/bin/env bash
# Makes the WAVs of the example with a speech synthesiser: 8 kHz, mono, 16 bit. Needs espeak-ng and sox.
set -euo pipefail
cd "$(dirname "$0")"

# arguments: file name, voice, pitch, words per minute, text
speak () {
  espeak-ng -v "$2" -p "$3" -s "$4" --stdout "$5" |
    sox -t wav - -r 8000 -c 1 -b 16 --norm=-6 "$1.wav" silence 1 0.02 0.5% reverse silence 1 0.02 0.5% reverse pad 0.05 0.05
}

speak caller en-us+m3 38 150 'Hello, this is Ada Byron. I am calling about the analytical engine. Please call me back this afternoon.'
speak hello en-us+m3 38 160 'Hello, can you hear me?'
speak enough en-us+m3 38 170 'Thank you, that is enough.'
speak callee-hello en-gb+f3 62 155 'Good morning, Babbage and company. I can hear you well.'
speak callee-goodbye en-gb+f3 62 160 'You are welcome. Goodbye.'
speak prompt en-gb+f2 55 165 'I repeat what you say. Interrupt me whenever you like. Star keeps a card number off the record, pound ends the call.'
