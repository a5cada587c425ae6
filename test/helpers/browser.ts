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
  // Disables the hidden pages that Chromium opens for each window's address bar, because these pages keep a
  // core busy. Chromium obeys only one --disable-features, so this list repeats some of Playwright's.
  '--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,MediaRouter,OptimizationHints,PaintHolding'
]

/**
 * Returns the reason why tests in a browser are skipped, or false if a browser is installed. In CI they are
 * never skipped, so without a browser the tests fail.
 */
export function noBrowser(): string | false {
  return (
    !existsSync(CHROMIUM) &&
    process.env.CI === undefined &&
    'chromium is not installed (apt install chromium)'
  )
}

/** Starts the Chromium that Debian packages. It is closed at the end of the test. */
export async function openBrowser(t: Test): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
  t.teardown(() => browser.close())
  return browser
}

/**
 * Opens a page in a new browser session, closed at the end of the test. `complaints` collects the errors that
 * the browser reports.
 */
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
