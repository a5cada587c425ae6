import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { simulateCall, speechLike, wavOf } from 'fastify-jambonz-listen/simulator'
import type { AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { noBrowser, openBrowser, openPage } from '../helpers/browser.js'
import { folder, listening } from '../helpers/build.js'
import { exampleApp } from '../helpers/exampleApp.js'
import { Lateness } from '../helpers/Lateness.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: 'dark' } as const
const PATIENCE = 60_000
/** ms between two questions to a page, because each takes CPU in both processes */
const PAGE_INTERVAL = 100
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** Options of a call whose caller speaks until `end()`. */
const { samples } = speechLike(120, 8000)
const ENDLESS = { speech: { pcm: samples, sampleRate: 8000 }, patienceMs: 120_000 }
/**
 * JavaScript for the page. It measures the ms from the click until the call's row appears, and the longest ms for which
 * a busy machine made the page wait meanwhile.
 */
const TIME_TO_APPEAR = `new Promise((resolve) => {
  let clicked
  let late = 0
  let turn = performance.now()
  setInterval(() => {
    late = Math.max(late, performance.now() - turn - 20)
    turn = performance.now()
  }, 20)
  document.addEventListener('click', ({ timeStamp }) => { clicked = timeStamp }, { once: true })
  new MutationObserver(() => {
    const now = performance.now()
    resolve({ ms: Math.round(now - clicked), late: Math.round(Math.max(late, now - turn - 20)) })
  }).observe(document.getElementById('calls'), { childList: true })
})`
/** number of steps from the click to the row, each of which waits for its turn on a busy machine */
const STEPS = 4
/** JavaScript for the page. Its promise resolves when the recording has been played beyond 3.5 s. */
const PLAYS_ON = `new Promise((resolve, reject) => {
  const look = () => document.querySelector('.recording input').value > 3.5 ? resolve() : requestAnimationFrame(look)
  look()
  setTimeout(() => reject(new Error('the recording does not play from the chosen position')), ${PATIENCE})
})`

t.test('the page of the example application in a browser', { skip: noBrowser() }, async (t) => {
  const browser = await openBrowser(t)
  t.jobs = 2

  t.test('a button starts a simulated call, which appears at once and whose recording plays', async (t) => {
    const address = await listening(await exampleApp(t))
    const { page, complaints } = await openPage(t, browser, address)
    await page.getByText('Nobody is calling.').waitFor()
    t.ok(
      await page.getByText(`${address}/voicemail`).isVisible(),
      'a first visitor sees what to enter in the portal'
    )
    await look(t, page, '1-first')

    const call = page.locator('.call')
    const appeared = page.evaluate<{ ms: number; late: number }>(TIME_TO_APPEAR)
    const lateness = new Lateness(folder())
    await page.getByRole('button', { name: 'Simulate a call' }).click()
    const { ms, late } = await appeared
    lateness.close()
    const busyMs = STEPS * Math.max(late, lateness.worst)
    t.ok(ms < 1_000 + busyMs, `${ms} ms after the click, of a machine that was busy for ${busyMs} ms`)
    await call.locator('canvas').waitFor({ timeout: PATIENCE })
    const before = await pixels(page, '.call canvas')
    await until(
      async () => (await pixels(page, '.call canvas')) !== before,
      'the waveform to move',
      PATIENCE,
      PAGE_INTERVAL
    )
    await call.getByText('Recorded 7.2 s').waitFor({ timeout: PATIENCE })
    t.match(await call.innerText(), /\+1555\d+[^]*voicemail · 8 kHz mono[^]*Ended by #/)
    t.same(await call.locator('kbd').allInnerTexts(), ['#'])

    const recording = page.locator('.recording.drawn')
    await recording.waitFor()
    await call.getByRole('button', { name: /^Play recording/ }).click()
    await recording.getByRole('button', { name: /^Play/, pressed: true }).click()
    const unplayed = await pixels(page, '.recording canvas')
    await recording.getByRole('slider').fill('1')
    await recording.getByRole('slider').press('ArrowRight')
    t.equal(await recording.locator('.length').innerText(), '0:03 / 0:07')
    const playsOn = page.evaluate(PLAYS_ON)
    await recording.getByRole('button', { name: /^Play/, pressed: false }).press('Enter')
    await playsOn
    t.not(await pixels(page, '.recording canvas'), unplayed)
    await look(t, page, '2-recorded')
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      recording.getByRole('link', { name: /^Download/ }).click()
    ])
    t.match(download.suggestedFilename(), /^\d{4}-\d\d-\d\d \d\d-\d\d-\d\d-1555\d+-\w{4}\.wav$/)
    t.same(complaints, [], 'the browser reports no errors')
  })

  t.test('the page shows the newest recordings, and older recordings on request', async (t) => {
    const directory = folder()
    for (const day of ['2026-01-01', '2026-01-02', '2026-01-03']) await recordingsOf(join(directory, day), 40)
    const { page } = await openPage(
      t,
      browser,
      await listening(await exampleApp(t, { RECORDINGS_DIR: directory }))
    )
    await page.getByText('Recordings 50+').waitFor()
    t.match(await page.locator('.recording').first().innerText(), /\+1555039\n/)
    await page.getByRole('button', { name: 'Show older ones' }).click()
    await page.getByText('Recordings 100+').waitFor()
    await page.getByRole('button', { name: 'Show older ones' }).click()
    await page.getByText('Recordings 120').waitFor()
    t.notOk(await page.getByRole('button', { name: 'Show older ones' }).isVisible())
  })

  t.test('two pages listen in to both sides of a call at once', async (t) => {
    const app = await exampleApp(t)
    const address = await listening(app)
    const [{ page, complaints }, phone] = await Promise.all([
      openPage(t, browser, address),
      openPage(t, browser, address, PHONE)
    ])
    const call = simulateCall({
      app,
      hook: '/monitor',
      statusHook: '/status',
      from: '+15551',
      env: { TARGET: '+15552' },
      speed: 1,
      ...ENDLESS,
      bLeg: { speech: ENDLESS.speech }
    })
    await page.getByText('talks to +15552').waitFor({ timeout: PATIENCE })
    await page.getByRole('button', { name: /^Listen in/ }).click()
    await phone.page.getByRole('button', { name: /^Listen in/ }).tap()
    await until(async () => (await loudness(page)).every(Boolean), 'sound', PATIENCE, PAGE_INTERVAL)
    await until(
      async () => (await loudness(phone.page)).every(Boolean),
      'sound on the phone as well',
      PATIENCE,
      PAGE_INTERVAL
    )
    t.equal((await loudness(page)).length, 2, 'each party has its own channel')
    await look(t, page, '3-live')
    await look(t, phone.page, '3-live-phone')
    await page.keyboard.press('Escape')
    t.same(await loudness(page), [], 'Escape stops the listening')
    t.notOk(await page.locator('#ear').isVisible())
    call.hangUp()
    await phone.page.locator('#ear').waitFor({ state: 'hidden' })
    await page.getByText(/Recorded \d/).waitFor()
    t.same([...complaints, ...phone.complaints], [], 'neither browser reports errors')
  })

  t.test('the page plays, draws and records both voices of a call with an agent', async (t) => {
    const app = await exampleApp(t)
    const { page, complaints } = await openPage(t, browser, await listening(app))
    // The caller is silent at first, so that the agent is heard. Then the caller speaks without end.
    const speech = Int16Array.from({ length: samples.length }, (_, at) => (at < 48_000 ? 0 : samples[at]!))
    const call = simulateCall({
      app,
      hook: '/agent',
      from: '+15555',
      speed: 1,
      speech: { pcm: speech, sampleRate: 8000 },
      patienceMs: 120_000
    })
    const item = page.locator('.call')
    await item.getByRole('button', { name: /^Listen in/ }).click({ timeout: PATIENCE })
    await until(async () => (await loudness(page))[1], 'the agent, on the right', PATIENCE, PAGE_INTERVAL)
    await look(t, page, '10-agent')
    await until(async () => (await loudness(page))[0], 'the caller, on the left', PATIENCE, PAGE_INTERVAL)
    t.match(await page.locator('#ear').innerText(), /caller left, agent right/)
    t.same(await item.locator('.lanes span').allInnerTexts(), ['caller', 'agent'])
    await look(t, page, '10-both')
    call.press('#')
    const recording = page.locator('.recording.drawn')
    await recording.waitFor()
    t.match(await recording.innerText(), /agent · 8 kHz stereo/)
    t.equal(await recording.getByRole('slider').getAttribute('title'), 'caller above, agent')
    t.ok((await inked(page, '.recording canvas', 0)) > 0, 'the caller is drawn')
    t.ok((await inked(page, '.recording canvas', 1)) > 0, 'the agent is drawn')
    await recording.getByRole('button', { name: /^Play/ }).click()
    await until(
      async () => Number(await recording.getByRole('slider').inputValue()) > 0.5,
      'the recording to play',
      PATIENCE,
      PAGE_INTERVAL
    )
    await look(t, page, '10-played')
    t.same(complaints, [])
  })

  t.test('the page shows that a call is private', async (t) => {
    const app = await exampleApp(t)
    const { page } = await openPage(t, browser, await listening(app))
    const call = simulateCall({ app, hook: '/agent', from: '+15553', speed: 1, ...ENDLESS })
    const item = page.locator('.call')
    await item.getByRole('button', { name: /^Listen in/ }).click({ timeout: PATIENCE })
    await until(async () => (await loudness(page)).some(Boolean), 'sound', PATIENCE, PAGE_INTERVAL)
    call.press('1*')
    await item.getByText('Listening, not recorded').waitFor()
    await until(
      async () => !(await loudness(page)).some(Boolean),
      'silence while the caller speaks',
      PATIENCE,
      PAGE_INTERVAL
    )
    call.press('4929')
    await until(async () => (await item.locator('kbd').count()) === 6, 'the keys')
    await look(t, page, '4-private')
    call.press('*2#')
    await item.getByText(/Ended by #/).waitFor()
    t.same(await item.locator('kbd').allInnerTexts(), ['1', '*', '•', '•', '•', '•', '*', '2', '#'])
    await page.getByText('paused once').waitFor()
    await look(t, page, '4-over')
  })

  t.test('long and strange values from jambonz do not break the page', async (t) => {
    const app = await exampleApp(t)
    const address = await listening(app)
    const hostile = [
      '+1' + '5'.repeat(4_000),
      'W'.repeat(4_000),
      '<img src=x onerror="document.title=\'broken\'">',
      '\u202e+15551\u0000\n\t',
      'sip:' + 'ö'.repeat(300) + '@example.org',
      '',
      '𝕬'.repeat(100)
    ]
    for (const [i, from] of hostile.entries()) {
      const payload = { call_sid: `hostile-${i}`, from, to: from, call_status: from, direction: from }
      await app.inject({ method: 'POST', url: '/voicemail', payload })
      await app.jambonz.calls.update(`hostile-${i}`, { keys: `${i}*#`.repeat(1_000) })
    }
    const pages = [await openPage(t, browser, address), await openPage(t, browser, address, PHONE)]
    for (const [i, { page, complaints }] of pages.entries()) {
      await page.getByText(`Live calls ${hostile.length}`).waitFor()
      t.equal(await page.locator('#calls > .call').count(), hostile.length)
      t.equal(await page.locator('#calls > .call').first().locator('kbd').count(), 24)
      for (const text of await page.locator('.call .from').allInnerTexts()) t.ok([...text].length <= 40, text)
      await look(t, page, `7-hostile-${i}`)
      t.same(complaints, [])
    }
    const saved = new Promise((resolve) => app.jambonz.calls.events.once('recording', resolve))
    await simulateCall({ app, hook: '/voicemail', from: hostile[0], press: '#' })
    await saved
    await pages[1]!.page.locator('.recording').waitFor()
    await pages[1]!.page.locator('#ended .call').waitFor()
    await look(t, pages[1]!.page, '7-recorded-phone')
  })

  t.test('on a phone the numbers of both parties are not cut off', async (t) => {
    const app = await exampleApp(t)
    const { page } = await openPage(t, browser, await listening(app), PHONE)
    const [from, to] = ['+441234567890123', 'reception@berlin.example.org']
    const call = simulateCall({
      app,
      hook: '/monitor',
      statusHook: '/status',
      from,
      to,
      env: { TARGET: `sip:${to}` },
      speed: 1,
      ...ENDLESS,
      bLeg: { speech: ENDLESS.speech }
    })
    await page.locator('#calls canvas').waitFor({ timeout: PATIENCE })
    t.same(await cut(page, '#calls .from, #calls .to'), [])
    await look(t, page, '9-numbers-live-phone')
    call.hangUp()
    await page.locator('.recording').waitFor()
    t.equal(await page.locator('.recording .to').innerText(), `→ ${to}`)
    t.same(await cut(page, '.recording .parties, #over .from, #over .to'), [])
    await look(t, page, '9-numbers-phone')
  })

  t.test(
    'with 2,000 calls the page shows their number and the newest calls; search finds each call',
    async (t) => {
      const app = await exampleApp(t)
      for (let i = 0; i < 2_000; i++) {
        const payload = {
          call_sid: `sid-${i}`,
          from: `+1555${String(i).padStart(5, '0')}`,
          call_status: 'in-progress'
        }
        await app.inject({ method: 'POST', url: '/voicemail', payload })
      }
      const { page, complaints } = await openPage(t, browser, await listening(app))
      await page.getByText('Live calls 2000').waitFor({ timeout: PATIENCE })
      const rows = page.locator('#calls > .call')
      t.equal(await rows.count(), 100)
      await page.getByRole('button', { name: 'Show more of the other 1900' }).click()
      t.equal(await rows.count(), 200)
      await page.getByLabel('Find').fill('00007')
      await until(async () => (await rows.count()) === 1, 'the only call that matches')
      t.match(await rows.innerText(), /\+155500007/)
      await page.getByLabel('Find').fill('nobody')
      await page.getByText('No live call has that.').waitFor()
      await page.getByLabel('Find').fill('')
      const payload = { call_sid: 'sid-7', call_status: 'completed' }
      await app.inject({ method: 'POST', url: '/status', payload })
      await page.getByText('Live calls 1999').waitFor()
      await page.locator('#ended .call').getByText('+155500007').waitFor()
      await look(t, page, '8-many')
      t.same(complaints, [])
    }
  )

  t.test('a page reconnects after a restart of its server', async (t) => {
    const env = { RECORDINGS_DIR: folder() }
    const first = await exampleApp(t, env)
    const address = await listening(first)
    const { page } = await openPage(t, browser, address)
    await simulateCall({ app: first, hook: '/voicemail', from: '+15551', press: '#' })
    await page.locator('.recording').waitFor()
    await page.evaluate('window.same = true')
    await first.close()
    await page.getByText('The server does not answer').waitFor()
    await look(t, page, '5-lost')

    const second = await exampleApp(t, { ...env, PORT: new URL(address).port })
    await second.listen({ host: '127.0.0.1', port: Number(new URL(address).port) })
    await page.getByText('connected', { exact: true }).waitFor({ timeout: PATIENCE })
    await simulateCall({ app: second, hook: '/voicemail', from: '+15552', press: '#' })
    await page.getByText('Recordings 2').waitFor()
    t.equal(await page.locator('#instance').innerText(), second.jambonz.instance)
    t.ok(await page.evaluate('window.same'), 'the page was not reloaded')
  })

  t.test('with a password, the page also shows calls of other instances', { skip: noRedis() }, async (t) => {
    const redis = await startRedis(t)
    const env = { REDIS_URL: redis.url, SECRET: 'a secret of both instances', DESK_PASSWORD: 'engine' }
    const [one, two] = [await exampleApp(t, env), await exampleApp(t, env)]
    const { page } = await openPage(t, browser, await listening(two), {
      httpCredentials: { username: 'ada', password: 'engine' },
      ...PHONE
    })
    await page.getByText('store ready').waitFor()
    const call = simulateCall({
      app: one,
      hook: '/agent',
      statusHook: '/status',
      from: '+15554',
      speed: 1,
      ...ENDLESS
    })
    await page.getByText(`Its audio is at ${one.jambonz.instance}`).waitFor()
    t.ok(await page.getByText('0 streams, 1 elsewhere').isVisible())
    t.notOk(await page.getByRole('button', { name: /^Listen in/ }).isVisible())
    call.press('#')
    await page.getByText(/Recorded \d/).waitFor()
    await Promise.all([two.jambonz.drain(), page.getByText('This instance is being shut down').waitFor()])
    await look(t, page, '6-elsewhere-phone')
  })
})

/** Writes recordings of one day, as the plugin does. */
async function recordingsOf(directory: string, count: number): Promise<void> {
  await mkdir(directory, { recursive: true })
  for (let i = 0; i < count; i++) {
    const base = join(directory, `12-00-${String(i).padStart(2, '0')}-1555-0000`)
    const startedAt = new Date().toISOString()
    await writeFile(`${base}.wav`, wavOf(Buffer.alloc(1_600), 8000))
    await writeFile(
      `${base}.json`,
      JSON.stringify({
        id: base,
        callSid: base,
        path: '/audio',
        sampleRate: 8000,
        mixType: 'mono',
        metadata: { caller: `+1555${String(i).padStart(3, '0')}` },
        recording: { location: `${base}.wav`, bytes: 1_644, durationMs: 100, startedAt }
      })
    )
  }
}

/** Returns the texts that are cut off because they do not fit into their boxes. */
async function cut(page: Page, selector: string): Promise<string[]> {
  return await page.evaluate<string[]>(
    `[...document.querySelectorAll('${selector}')].filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)`
  )
}

/** Returns the picture on a canvas, as a data url. */
async function pixels(page: Page, selector: string): Promise<string> {
  return await page.evaluate<string>(`document.querySelector('${selector}').toDataURL()`)
}

/**
 * Returns the number of dots in the upper (0) or lower (1) half of a canvas, not counting its middle line.
 */
async function inked(page: Page, selector: string, half: number): Promise<number> {
  return await page.evaluate<number>(`(() => {
    const canvas = document.querySelector('${selector}')
    const height = Math.floor(canvas.height / 2)
    const lane = canvas.getContext('2d').getImageData(0, ${half} * height, canvas.width, height)
    const middle = Math.floor(height / 2)
    return lane.data.filter((_, at) => {
      const row = Math.floor(at / 4 / canvas.width)
      return at % 4 === 3 && Math.abs(row - middle) > 2
    }).filter(Boolean).length
  })()`)
}

/** Returns the RMS that the page's AudioContext puts out now, for each channel. */
async function loudness(page: Page): Promise<number[]> {
  return await page.evaluate('import("/desk.js").then(({ ear }) => ear.levels())')
}

/**
 * Checks that the page is accessible in its current state. With SCREENSHOTS=<folder>, it saves a picture of
 * each state, for somebody to look at after the page was changed.
 */
async function look(t: Test, page: Page, name: string): Promise<void> {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` })
  // Wait for the end of animations, because an element that fades in has less contrast until then.
  await page.evaluate(`Promise.all(document.getAnimations()
    .filter((animation) => animation.effect.getComputedTiming().endTime !== Infinity)
    .map((animation) => animation.finished.catch(() => {})))`)
  if (!(await page.evaluate('"axe" in window'))) await page.evaluate(AXE)
  // Only the violations are returned, because the whole result of axe has a megabyte.
  const violations = await page.evaluate<AxeResults['violations']>(
    "axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations)"
  )
  t.same(
    violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(', ')}`),
    [],
    `${name} is accessible`
  )
  t.equal(
    await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'),
    0,
    `${name} is no wider than its window`
  )
}
