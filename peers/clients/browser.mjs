// A real browser on the pages of a hub: `browser HOST:PORT PROFILE PICTURES`. It presses the button of the app
// hello, opens the page that holds the TypeScript SDK, looks at the status page, and comes as a page of somebody
// else. It prints one JSON document of what it saw, and leaves pictures of hello and of the status page. Other names
// than this machine's lead nowhere.
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { load } from './peer.mjs';

const { chromium } = load('playwright-core');

const SIZE = { width: 900, height: 720 };
const FOREIGN = 'evil.example';
// Whatever hangs, the browser and we end.
const LIFE_MS = 120_000;

const [address, profile, pictures] = process.argv.slice(2);
const sockets = [`ws://${address}/ws/app/hello/default`, `ws://${address}/ws/mcp/default`];

/** Size, number of colours and first pixel of a picture, as a browser reads it. */
async function looked(page, png) {
  return page.evaluate(async (text) => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${text}`)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
    canvas.drawImage(image, 0, 0);
    const { data } = canvas.getImageData(0, 0, image.width, image.height);
    const colours = new Set(new Uint32Array(data.buffer)).size;
    return { width: image.width, height: image.height, colours, first: [...data.slice(0, 3)] };
  }, png.toString('base64'));
}

/** The app hello: its button, its answer, what came over its WebSocket, and pictures in both schemes. */
async function hello(context) {
  const [page, blank] = [await context.newPage(), await context.newPage()];
  const seen = { pictures: {} };
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => {
    const message = JSON.parse(payload);
    if (message.type === 'tool_result') seen.heard = { url: socket.url(), ...message };
  }));
  seen.status = (await page.goto(`http://${address}/apps/hello`)).status();
  await page.getByRole('button', { name: 'How long' }).click();
  await page.locator('#answer').waitFor();
  for (const id of ['state', 'tenant', 'line', 'whole', 'servers', 'tools']) {
    seen[id] = await page.locator(`#${id}`).innerText();
  }
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    const path = join(pictures, `hello-${colorScheme}.png`);
    const png = await page.screenshot();
    await writeFile(path, png);
    seen.pictures[colorScheme] = { path, ...(await looked(blank, png)) };
  }
  seen.sockets = await page.evaluate(knock, sockets);
  return seen;
}

/** The page with the SDK: what its client found. */
async function sdk(context) {
  const page = await context.newPage();
  await page.goto(`http://${address}/apps/sdk`);
  await page.locator('#found:not(:empty)').waitFor();
  return JSON.parse(await page.locator('#found').innerText());
}

/** The status page in both schemes, and on a phone: what it says, and whether all of it fits. */
async function status(context) {
  const page = await context.newPage();
  const seen = {};
  for (const [name, colorScheme, width] of [['light', 'light', 900], ['dark', 'dark', 900], ['phone', 'light', 360]]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: SIZE.height });
    await page.goto(`http://${address}/status/default`);
    const shown = await page.evaluate(() => ({
      scripts: document.scripts.length,
      bars: document.querySelectorAll('svg rect').length,
      ground: getComputedStyle(document.body).backgroundColor,
      fits: document.documentElement.scrollWidth <= innerWidth,
    }));
    await writeFile(join(pictures, `status-${name}.png`), await page.screenshot({ fullPage: true }));
    seen[name] = { text: await page.locator('main').innerText(), ...shown };
  }
  await page.close();
  return seen;
}

/** Runs in a page: opens WebSockets, and shows and answers what became of each. */
async function knock(urls) {
  const ends = urls.map((url) => new Promise((resolve) => {
    const socket = url.includes('/ws/mcp/') ? new WebSocket(url, 'mcp') : new WebSocket(url);
    socket.onopen = () => {
      resolve('opened');
      socket.close();
    };
    socket.onerror = () => resolve('refused');
  }));
  const list = document.createElement('ol');
  for (const end of await Promise.all(ends)) list.append(Object.assign(document.createElement('li'), { innerText: end }));
  document.body.append(list);
  return [...list.children].map((item) => item.innerText);
}

/** A page of another origin: what became of its WebSockets, and why, and of the hub under the other's name. */
async function foreign(context) {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><link rel="icon" href="data:,"><h1>Evil</h1>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = await context.newPage();
  const seen = { said: [] };
  page.on('console', (message) => seen.said.push(message.text()));
  await page.goto(`http://${FOREIGN}:${server.address().port}/`);
  seen.origin = await page.evaluate(() => location.origin);
  await page.evaluate(knock, sockets);
  seen.sockets = await page.locator('li').allInnerTexts();
  const rebound = await page.goto(`http://${FOREIGN}:${address.split(':')[1]}/apps/hello`);
  seen.rebound = rebound.status();
  await page.close();
  server.close();
  return seen;
}

const dying = setTimeout(() => {
  console.error(`browser: not done after ${LIFE_MS / 1000} s`);
  process.exit(1);
}, LIFE_MS);
let context;
try {
  if (!process.env.CHROMIUM) throw new Error('there is no chromium; peers/install gets it, or says what to install');
  context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM,
    viewport: SIZE,
    // The sandbox does not work for root, which is often the only user where tests run.
    chromiumSandbox: false,
    args: [
      '--disable-gpu', '--disable-quic', '--disable-sync',
      `--host-resolver-rules=MAP ${FOREIGN} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
    ],
  });
  // What our own pages complain of: nothing is expected.
  const errors = [];
  const own = (page) => !page?.url().includes(FOREIGN);
  context.on('console', (message) => {
    const isComplaint = ['error', 'warning'].includes(message.type());
    if (isComplaint && own(message.page())) errors.push(`${message.text()} (${message.location().url})`);
  });
  context.on('weberror', (error) => errors.push(String(error.error())));
  // Code that tries what the policy refuses, and goes on without, is not on the console by itself.
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (refused) =>
    console.error(`the policy refused ${refused.blockedURI}: ${refused.violatedDirective}`)));
  const seen = {
    hello: await hello(context),
    sdk: await sdk(context),
    status: await status(context),
    foreign: await foreign(context),
  };
  console.log(JSON.stringify({ client: 'browser', ...seen, errors }, null, 2));
} catch (error) {
  console.error(`browser: ${error.message}`);
  process.exitCode = 1;
} finally {
  await context?.close();
  clearTimeout(dying);
}
