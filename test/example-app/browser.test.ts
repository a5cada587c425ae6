import { simulateCall } from 'fastify-jambonz-listen/simulator'
import type { Page } from 'playwright-core'
import t from 'tap'
import { noBrowser, openBrowser, openPage } from '../helpers/browser.js'
import { folder, listening } from '../helpers/build.js'
import { exampleApp } from '../helpers/exampleApp.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { until } from '../helpers/until.js'

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, colorScheme: 'dark' } as const
const PATIENCE = 20_000
/** In the page, by its own clock: ms from the click to the row of the call. */
const TIME_TO_APPEAR = `new Promise((resolve) => {
  let clicked
  document.addEventListener('click', ({ timeStamp }) => { clicked = timeStamp }, { once: true })
  new MutationObserver(() => resolve(Math.round(performance.now() - clicked))).observe(document.getElementById('calls'), { childList: true })
})`

t.test('the desk in a browser', { skip: noBrowser() }, async (t) => {
  const browser = await openBrowser(t)
  t.jobs = 2

  t.test('a simulated call appears at once, moves, is heard by two, and its recording plays', async (t) => {
    const address = await listening(await exampleApp(t))
    const [{ page, complaints }, phone] = await Promise.all([openPage(browser, address), openPage(browser, address, PHONE)])
    await page.getByText('Nobody is calling.').waitFor()
    t.ok(await page.getByText(`${address}/voicemail`).isVisible(), 'a first visitor sees what to enter in the portal')
    await look(page, '1-first')

    const call = page.locator('.call')
    const appeared = page.evaluate<number>(TIME_TO_APPEAR)
    await page.getByRole('button', { name: 'Simulate a call' }).click()
    t.ok(await appeared < 1_000, `${await appeared} ms after the click`)
    await call.getByRole('button', { name: /^Listen in/ }).click({ timeout: PATIENCE })
    await phone.page.getByRole('button', { name: /^Listen in/ }).tap()
    t.match(await call.innerText(), /\+1555\d+[^]*voicemail · 8 kHz mono[^]*Listening/)
    const before = await pixels(page, '.call canvas')
    await until(async () => await pixels(page, '.call canvas') !== before, 'the waveform to move', PATIENCE)
    await until(() => loudness(page), 'sound', PATIENCE)
    await until(() => loudness(phone.page), 'sound on the phone as well', PATIENCE)
    await look(page, '2-live')
    await look(phone.page, '2-live-phone')
    await page.keyboard.press('Escape')
    t.equal(await loudness(page), 0, 'Escape stops it')
    t.notOk(await page.locator('#ear').isVisible())

    await call.getByText('Recorded 7.1 s').waitFor({ timeout: PATIENCE })
    await phone.page.locator('#ear').waitFor({ state: 'hidden' })
    t.same(await call.locator('kbd').allInnerTexts(), ['#'])
    const recording = page.locator('.recording.drawn')
    await recording.waitFor()
    const unplayed = await pixels(page, '.recording canvas')
    await recording.getByRole('slider').fill('4')
    await recording.getByRole('button', { name: /^Play/ }).press('Enter')
    await until(async () => /^0:05 \/ 0:07/.test(await recording.locator('.length').innerText()), 'it to play on from where it was told to', PATIENCE)
    t.not(await pixels(page, '.recording canvas'), unplayed)
    await look(page, '3-recorded')
    await look(phone.page, '3-recorded-phone')
    const [download] = await Promise.all([page.waitForEvent('download'), recording.getByRole('link', { name: /^Download/ }).click()])
    t.match(download.suggestedFilename(), /^\d{4}-\d\d-\d\d \d\d-\d\d-\d\d-1555\d+-\w{4}\.wav$/)
    t.same([...complaints, ...phone.complaints], [], 'the browser has nothing to complain of')
  })

  t.test('a page lives through a restart of its server', async (t) => {
    const env = { RECORDINGS_DIR: folder() }
    const first = await exampleApp(t, env)
    const address = await listening(first)
    const { page } = await openPage(browser, address)
    await simulateCall({ app: first, hook: '/voicemail', from: '+15551', press: '#' })
    await page.locator('.recording').waitFor()
    await page.evaluate('window.same = true')
    await first.close()
    await page.getByText('reconnecting').waitFor()
    await look(page, '4-lost')

    const second = await exampleApp(t, { ...env, PORT: new URL(address).port })
    await second.listen({ host: '127.0.0.1', port: Number(new URL(address).port) })
    await page.getByText('connected', { exact: true }).waitFor({ timeout: PATIENCE })
    await simulateCall({ app: second, hook: '/voicemail', from: '+15552', press: '#' })
    await page.getByText('Recordings 2').waitFor()
    t.equal(await page.locator('#instance').innerText(), second.jambonz.instance)
    t.ok(await page.evaluate('window.same'), 'nobody has reloaded it')
  })

  t.test('what is private is seen to be private', async (t) => {
    const app = await exampleApp(t)
    const { page } = await openPage(browser, await listening(app))
    const call = simulateCall({ app, hook: '/agent', from: '+15553', press: ['1*@200ms', '4929@1500ms', '*@4s', '2#@5s'], speed: 1 })
    const item = page.locator('.call')
    await item.getByText('Listening, not recorded').waitFor()
    await item.getByRole('button', { name: /^Listen in/ }).click()
    await until(async () => (await item.locator('kbd').count()) >= 5, 'the keys')
    t.equal(await loudness(page), 0, 'nor is it heard')
    await look(page, '5-private')
    await call
    await item.getByText(/Ended by #/).waitFor()
    t.same(await item.locator('kbd').allInnerTexts(), ['1', '*', '•', '•', '•', '•', '*', '2', '#'])
    await page.getByText('paused once').waitFor()
  })

  t.test('a desk with a password shows calls of other instances, too', { skip: noRedis() }, async (t) => {
    const redis = await startRedis(t)
    const env = { REDIS_URL: redis.url, SECRET: 'a secret of both instances', DESK_USERNAME: 'ada', DESK_PASSWORD: 'engine' }
    const [one, two] = [await exampleApp(t, env), await exampleApp(t, env)]
    const { page } = await openPage(browser, await listening(two), { httpCredentials: { username: 'ada', password: 'engine' }, ...PHONE })
    await page.getByText('redis store').waitFor()
    const call = simulateCall({ app: one, hook: '/agent', statusHook: '/status', from: '+15554', press: '#@2s', speed: 1 })
    await page.getByText(`Its audio is at ${one.jambonz.instance}`).waitFor()
    t.ok(await page.getByText('0 streams, 1 elsewhere').isVisible())
    t.notOk(await page.getByRole('button', { name: /^Listen in/ }).isVisible())
    await call
    await page.getByText(/Recorded \d/).waitFor()
    await Promise.all([two.jambonz.drain(), page.getByText('This instance is being shut down').waitFor()])
    await look(page, '6-elsewhere-phone')
  })
})

/** The picture on a canvas, as a data url. */
async function pixels (page: Page, selector: string): Promise<string> {
  return await page.evaluate<string>(`document.querySelector('${selector}').toDataURL()`)
}

/** RMS of what the page's AudioContext puts out just now. */
async function loudness (page: Page): Promise<number> {
  return await page.evaluate('import("/desk.js").then(({ ear }) => Math.max(0, ...ear.levels()))')
}

/** SCREENSHOTS=<folder> keeps a picture of each step, for whoever changes the page to look at. */
async function look (page: Page, name: string): Promise<void> {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` })
}
