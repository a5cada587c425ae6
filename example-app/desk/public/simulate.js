import { setText } from './format.js'

const ABOUT = {
  voicemail: 'A caller leaves a message and presses #. 15 seconds.',
  monitor: 'Two people talk, each on a channel of their own. 15 seconds.',
  agent:
    'An echo that falls silent when the caller interrupts. The caller presses * before a card number and * after it, then #. 25 seconds.'
}

/** Prepares the form with which the user starts a simulated call. */
export function setUpSimulation(form) {
  const about = form.querySelector('output')
  const explain = () => setText(about, ABOUT[form.elements.line.value])
  form.addEventListener('change', explain)
  explain()
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    try {
      const response = await fetch('simulate', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ line: form.elements.line.value })
      })
      if (response.ok) explain()
      else setText(about, (await response.json()).message)
    } catch {
      setText(about, 'The server does not answer.')
    }
  })
}
