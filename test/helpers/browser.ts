import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import type { Test } from 'tap'

const CHROMIUM = '/usr/bin/chromium'
/** ms to wait for the browser, on a busy machine */
const PATIENCE = 120_000
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
  // Chromium writes to its home folder, and opens a socket in its folder for temporary files. The path of a socket has
  // 107 bytes at most, so the folder is not that of TMPDIR.
  const home = mkdtempSync('/tmp/chromium-')
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: FLAGS,
    timeout: PATIENCE,
    env: { ...process.env, HOME: home, TMPDIR: home }
  })
  t.teardown(async () => {
    await browser.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })
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
  context.setDefaultTimeout(PATIENCE)
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('pageerror', (err) => complaints.push(err.message))
  await page.goto(url)
  return { page, complaints }
}
