// Draws dashboards by Grafana's own panel components, from a live Prometheus: `node draw.mjs PROMETHEUS DIRECTORY`.
// What the page is made of is in page.jsx; this serves it, and has headless Chromium photograph it.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

const [prometheus = 'http://127.0.0.1:9090', directory = '..'] = process.argv.slice(2);
const here = (name) => new URL(name, import.meta.url);
const WIDTH = 1500;
/** What is photographed: a dashboard, the values of its variables, and how many rows of its grid. */
const PICTURES = [
  { name: 'fleet', rows: 29 },
  { name: 'node', variables: { node: 'build-1' }, rows: 24 },
  { name: 'delivery', rows: 30 },
];

const { outputFiles } = await build({
  entryPoints: [here('page.jsx').pathname],
  bundle: true,
  minify: true,
  write: false,
  outdir: 'out',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
  loader: { '.woff2': 'dataurl', '.woff': 'empty', '.svg': 'dataurl', '.png': 'dataurl' },
  external: ['monaco-editor'],
  logLevel: 'error',
});
const output = (end) => outputFiles.find((file) => file.path.endsWith(end)).text;
const files = {
  '/': ['text/html', '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css">' +
    '<div id="page"></div><script src="page.js"></script>'],
  '/page.js': ['text/javascript', output('.js')],
  '/page.css': ['text/css', output('.css')],
};

const server = createServer(async (request, response) => {
  const { pathname, search } = new URL(request.url, 'http://localhost');
  try {
    if (pathname.startsWith('/api/')) {
      const answer = await fetch(`${prometheus}${pathname}${search}`);
      response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(await answer.text());
    } else if (pathname.startsWith('/dashboards/')) {
      response.end(await readFile(here(`../../..${pathname}`)));
    } else {
      const [type, text] = files[pathname] ?? ['text/plain', ''];
      response.writeHead(200, { 'Content-Type': type }).end(text);
    }
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const address = `http://127.0.0.1:${server.address().port}`;

const profile = await mkdtemp(join(tmpdir(), 'dashboards-'));
// Root, who alone may enter the lab, cannot have its sandbox. It reads what it is told from descriptor 3, answers on 4.
const chromium = spawn(
  'chromium',
  ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
    '--hide-scrollbars', `--user-data-dir=${profile}`, '--remote-debugging-pipe'],
  { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
);
const waiting = new Map();
let calls = 0;
let rest = '';
chromium.stdio[4].setEncoding('utf8').on('data', (text) => {
  const messages = (rest + text).split('\0');
  rest = messages.pop();
  for (const { id, result, error, method, params } of messages.map((message) => JSON.parse(message))) {
    if (method === 'Runtime.exceptionThrown') console.error(params.exceptionDetails.exception?.description);
    const [done, failed] = waiting.get(id) ?? [];
    waiting.delete(id);
    if (error) failed?.(new Error(error.message));
    else done?.(result);
  }
});
const call = (method, params = {}, sessionId) =>
  new Promise((done, failed) => {
    waiting.set((calls += 1), [done, failed]);
    chromium.stdio[3].write(`${JSON.stringify({ id: calls, method, params, sessionId })}\0`);
  });

try {
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const tab = (method, params) => call(method, params, sessionId);
  await tab('Runtime.enable');
  await tab('Page.enable');
  for (const { name, variables, rows } of PICTURES) {
    const height = rows * 38 + 8;
    await tab('Emulation.setDeviceMetricsOverride', { width: WIDTH, height, deviceScaleFactor: 1, mobile: false });
    const query = new URLSearchParams({ dashboard: name, rows, ...variables });
    await tab('Page.navigate', { url: `${address}/?${query}` });
    const drawn = '(function look(done) { window.drawn ? done(window.drawn) : setTimeout(look, 50, done); })';
    const expression = `new Promise(${drawn})`;
    const { result } = await tab('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (result.value !== 'all') throw new Error(`${name}: ${result.value}`);
    const { data } = await tab('Page.captureScreenshot', { format: 'png' });
    await writeFile(join(directory, `${name}.png`), Buffer.from(data, 'base64'));
  }
} finally {
  chromium.kill();
  server.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
