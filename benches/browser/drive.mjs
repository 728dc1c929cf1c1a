// Opens an exported page in a headless browser, selects a file or the microphone, and prints the predictions.
import { parseArgs } from "node:util";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { serve } from "./server.mjs";

const USAGE = `node drive.mjs SITE_FOLDER AUDIO_FILE [options]
node drive.mjs SITE_FOLDER --microphone [options]

  --screenshot FILE   save a screenshot of the page at the end
  --dark              use dark mode
  --width PIXELS      width of the window (default 1280)
  --all               show all tags
  --play              move the play head to one third
  --provider NAME     use wasm or webgpu instead of the page's choice
  --isolated          send the headers that enable threads
  --browser-flag FLAG additional flag for the browser; repeatable
  --timeout SECONDS   maximum time until the result (default 120)

The browser is $CHROMIUM, or /usr/bin/chromium by default. Prints the JSON of the page's #result element.`;

const flag = { type: "boolean", default: false };
const options = {
  microphone: flag, dark: flag, all: flag, play: flag, isolated: flag, help: flag,
  screenshot: { type: "string" }, provider: { type: "string" },
  width: { type: "string", default: "1280" }, timeout: { type: "string", default: "120" },
  "browser-flag": { type: "string", multiple: true, default: [] },
};

const usage = (why) => {
  console.error(why ? `${why}\n\n${USAGE}` : USAGE);
  process.exit(why ? 2 : 0);
};

let given;
try {
  given = parseArgs({ options, allowPositionals: true });
} catch (error) {
  usage(error.message);
}
const { values: wants, positionals: [site, audio] } = given;
if (wants.help) usage();
if (!site || (!audio && !wants.microphone)) usage("name a directory and an audio file");
for (const path of [site, audio]) if (path && !existsSync(path)) usage(`${path} does not exist`);
const timeout = 1000 * Number(wants.timeout);

const faults = [];
const isolation = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
const server = await serve(site, wants.isolated ? isolation : {});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
    ...(wants.microphone ? ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"] : []),
    ...wants["browser-flag"],
  ],
});

const closing = async () => {
  await browser.close();
  server.close();
};

// Waits until `enough` accepts the result; fails if the page shows an error. It polls from here, because the policy of the
// page does not allow evaluation inside it.
const heard = async (page, enough) => {
  const end = Date.now() + timeout;
  let seen;
  while (Date.now() < end) {
    seen = await page.evaluate(() => {
      const trouble = document.querySelector("#trouble");
      return {
        trouble: trouble.hidden ? null : trouble.textContent,
        result: JSON.parse(document.querySelector("#result").textContent || "null"),
        state: document.body.dataset.state,
        rows: document.querySelectorAll("#rows li").length,
      };
    });
    if (seen.trouble) throw new Error(`the page says: ${seen.trouble}`);
    if (seen.result && seen.rows > 0 && enough(seen)) return seen.result;
    await new Promise((later) => setTimeout(later, 100));
  }
  throw new Error(`no result within ${wants.timeout} seconds; the page's state is ${seen?.state}`);
};

try {
  const context = await browser.newContext({
    viewport: { width: Number(wants.width), height: 900 },
    deviceScaleFactor: 2,
    colorScheme: wants.dark ? "dark" : "light",
    ...(wants.microphone ? { permissions: ["microphone"] } : {}),
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`uncaught: ${error.message}`));
  // Block requests of the page and its workers to other servers.
  await context.route(
    (url) => !url.href.startsWith(server.address) && !["blob:", "data:"].includes(url.protocol),
    (route) => {
      faults.push(`request to another machine: ${route.request().url()}`);
      return route.abort();
    },
  );

  await page.goto(server.address + (wants.provider ? `?provider=${encodeURIComponent(wants.provider)}` : ""));
  let final;
  if (wants.microphone) {
    await page.click("#microphone");
    const live = await heard(page, ({ result }) => result.live && result.excerpts >= 4);
    if (wants.screenshot) await page.screenshot({ path: wants.screenshot, fullPage: true });
    await page.click("#play");
    final = { live, recording: await heard(page, ({ result, state }) => !result.live && state === "done") };
  } else {
    await page.setInputFiles("#file", audio);
    final = await heard(page, ({ state }) => state === "done");
    if (wants.all) await page.click("#more");
    if (wants.play) {
      const box = await page.locator("#spectrogram").boundingBox();
      await page.mouse.click(box.x + box.width / 3, box.y + box.height / 2);
      await page.mouse.move(0, 0);
    }
    // Wait for the animation of the bars.
    await page.waitForTimeout(400);
    if (wants.screenshot) await page.screenshot({ path: wants.screenshot, fullPage: true });
  }
  if (!(final.recording ?? final).tags.every(([name, value]) => typeof name === "string" && Number.isFinite(value))) faults.push("a tag has no finite value");
  console.log(JSON.stringify(final));
} catch (error) {
  faults.push(error.message);
}
await closing();
if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
