const LINES = { voicemail: 'Voicemail', monitor: 'Monitor', agent: 'Agent', status: 'Status, of all of them' }
const make = (name, properties) => Object.assign(document.createElement(name), properties)

/** Shows the urls that the user must enter in the jambonz portal. */
export async function showAddresses(panel) {
  const response = await fetch('settings')
  const { publicUrl = location.origin } = await response.json()
  const origin = publicUrl.replace(/\/$/, '')
  panel.querySelector('.reach').hidden = !/\/\/(?:127\.|localhost|\[::1\])/.test(origin)
  panel.querySelector('dl').append(
    ...Object.entries(LINES).flatMap(([path, name]) => {
      const address = `${origin}/${path}`
      const copy = make('button', { type: 'button', textContent: 'Copy', ariaLabel: `Copy ${address}` })
      copy.onclick = async () => {
        await navigator.clipboard?.writeText(address)
        copy.textContent = 'Copied'
        setTimeout(() => {
          copy.textContent = 'Copy'
        }, 1_500)
      }
      const value = make('dd')
      value.append(make('code', { textContent: address }), copy)
      return [make('dt', { textContent: name }), value]
    })
  )
}
