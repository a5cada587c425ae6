import { existsSync } from 'node:fs'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import type { Test } from 'tap'

const CHROMIUM = '/usr/bin/chromium'
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  // Turns off the hidden pages behind each window's address bar, because they keep a core busy. This option replaces
  // Playwright's own list.
  '--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,MediaRouter,OptimizationHints,PaintHolding'
]

/**
 * Returns why tests in a browser are skipped, or false if a browser is installed. In CI they are never skipped: without
 * a browser they fail.
 */
export function noBrowser(): string | false {
  return (
    !existsSync(CHROMIUM) &&
    process.env.CI === undefined &&
    'chromium is not installed (apt install chromium)'
  )
}

/** Starts Debian's Chromium. It is closed with the test. */
export async function openBrowser(t: Test): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
  t.teardown(() => browser.close())
  return browser
}

/** Opens a page with a session of its own, closed with the test. `complaints` collects the browser's errors. */
export async function openPage(
  t: Test,
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {}
): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext(options)
  t.teardown(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('pageerror', (err) => complaints.push(err.message))
  await page.goto(url)
  return { page, complaints }
}
