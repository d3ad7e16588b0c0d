// The dashboard in a real browser: node run.mjs EXECUTOR DATABASE CHROMIUM PICTURES
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";

const [executor, database, executablePath, pictures] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(pictures, { recursive: true });

/** Starts a server, and waits until it says where it is. */
const serve = async (words, env = {}) => {
  const child = spawn(executor, [...words, "--db", database], { env: { ...process.env, ...env } });
  const base = await new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (data) => {
      said += data;
      const at = said.match(/http:\/\/[^/]+/);
      if (at) resolve(at[0]);
    });
    child.on("exit", () => reject(new Error(`the server ended: ${said}`)));
  });
  return { child, base };
};

const { child, base } = await serve(["serve", "--listen", "127.0.0.1:0", "--no-token"]);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
let passed = 0;
let failures = 0;

/** A page that fails on whatever leaves the host, on errors, and on anything that a text of the history makes it do. */
const open = async ({ base: other, ...options } = {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.wrong = [];
  page.base = other ?? base;
  page.on("request", (request) => {
    if (!request.url().startsWith(page.base)) page.wrong.push(`asks for ${request.url()}`);
  });
  page.on("dialog", (dialog) => page.wrong.push(`shows ${dialog.message()}`));
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") page.wrong.push(message.text());
  });
  return page;
};

const test = async (name, options, act) => {
  const page = await open(options);
  try {
    await act(page);
    assert.deepEqual(page.wrong, []);
    passed += 1;
    console.log(`ok  ${name}`);
  } catch (error) {
    console.error(`FAILED  ${name}\n${error.message}`);
    failures += 1;
  } finally {
    await page.context().close();
  }
};

const figures = async (at) => {
  const answer = await fetch(base + at, { headers: { accept: "application/json" } });
  assert.equal(answer.status, 200, at);
  return answer.json();
};

const failed = await figures("/executions?status=failed");
const hostile = failed.executions.find((it) => it.what.includes("<script>"));
const handlers = await figures("/handlers");
assert.ok(hostile && handlers.handlers.length >= 4);
const PAGES = {
  now: "/",
  executions: "/executions",
  failed: "/executions?status=failed",
  execution: `/executions/${failed.executions[0].id}`,
  hostile: `/executions/${hostile.id}`,
  handlers: "/handlers",
  handler: "/handlers/job/2",
  errors: "/errors",
  timeline: "/timeline?since=3h",
  ledger: "/ledger?since=7d",
  audit: "/ledger/audit?since=7d",
  health: "/health?since=7d",
  absent: "/nothing",
};

/** Serious and critical findings of axe. */
const findings = async (page) => {
  await page.evaluate(axe);
  const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const grave = result.violations.filter((it) => ["serious", "critical"].includes(it.impact));
  return grave.map((it) => `${it.id}: ${it.nodes.map((node) => node.html.slice(0, 120)).slice(0, 3).join(" | ")}`);
};

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 360]) {
    for (const [name, at] of Object.entries(PAGES)) {
      // The policy forbids scripts that are not the dashboard's, so the checker comes past it.
      const options = { colorScheme, viewport: { width, height: 900 }, bypassCSP: true };
      await test(`j05 ${name} can be read, ${colorScheme}, ${width} wide`, options, async (page) => {
        await page.goto(base + at);
        if (name === "absent") page.wrong = [];
        await page.screenshot({ path: path.join(pictures, `${name}-${colorScheme}-${width}.png`), fullPage: true });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `${overflow} pixels wider than the window`);
        assert.deepEqual(await findings(page), []);
      });
    }
  }
}

await test("j02 no text does anything", {}, async (page) => {
  for (const at of Object.values(PAGES).slice(0, -1)) {
    await page.goto(base + at);
    await page.waitForTimeout(50);
    assert.match(await page.title(), / · executor$/);
    assert.equal(await page.locator("img").count(), 0);
    assert.equal(await page.locator("script:not([src])").count(), 0);
  }
});

await test("j05 a whole session by the keyboard", {}, async (page) => {
  const key = (name) => page.keyboard.press(name);
  await page.goto(base + "/");
  for (const [letter, title] of [["e", "Executions"], ["h", "Handlers and jobs"], ["r", "Errors"], ["t", "Timeline"], ["l", "Ledger"], ["s", "Health and settings"], ["n", "Now"]]) {
    await key("g");
    await Promise.all([page.waitForEvent("load"), key(letter)]);
    assert.match(await page.title(), new RegExp(`^${title}`));
  }
  await key("g");
  await Promise.all([page.waitForEvent("load"), key("e")]);
  await key("j");
  await key("j");
  await key("k");
  await Promise.all([page.waitForEvent("load"), key("Enter")]);
  assert.match(page.url(), /\/executions\/[0-9a-f-]{36}/);
  await key("/");
  await page.waitForURL(/\/executions\?/);
  await key("/");
  await page.keyboard.type("manifest");
  await Promise.all([page.waitForEvent("load"), key("Enter")]);
  assert.equal(await page.locator("table.rows tbody tr").count(), 4);
  await key("?");
  assert.ok(await page.locator(".keys").isVisible());
});

await test("j01 everything works without scripts", { javaScriptEnabled: false }, async (page) => {
  await page.goto(base + "/");
  await page.getByRole("link", { name: "Executions", exact: true }).click();
  const rows = page.locator("table.rows tbody tr");
  const count = await rows.count();
  await page.getByLabel("error", { exact: true }).check();
  await page.getByRole("button", { name: "Show" }).click();
  assert.equal(await rows.count(), 4);
  assert.ok(count > 4);
  await page.getByLabel("Kind").selectOption("listener");
  await page.getByRole("button", { name: "Show" }).click();
  assert.equal(await rows.count(), 0);
  await page.getByRole("link", { name: "Clear" }).click();
  await page.getByLabel("It said").fill("rooms");
  await page.getByRole("button", { name: "Show" }).click();
  assert.equal(await rows.count(), 4);
  // Every other field, each by itself.
  const only = async (fill) => {
    await page.getByRole("link", { name: "Clear" }).click();
    await fill();
    await page.getByRole("button", { name: "Show" }).click();
    return rows.count();
  };
  assert.equal(await only(() => page.getByLabel("Error says").fill("ROOMS")), 4);
  assert.equal(await only(() => page.getByLabel("At least").fill("54s")) > 4, true);
  assert.equal(await only(() => page.getByLabel("At least").fill("1h")), 0);
  const named = await only(() => page.getByLabel("App").selectOption("lights"));
  assert.equal(named, await page.getByText("lights/hall").count());
  const session = failed.executions[0].session;
  assert.ok(await only(() => page.getByLabel("Session").fill(session)) > 0);
  await only(() => page.getByLabel("interrupted", { exact: true }).check());
  await page.getByLabel("panicked", { exact: true }).check();
  await page.getByRole("button", { name: "Show" }).click();
  assert.equal(await rows.count(), 2);
  await only(() => page.getByLabel("Id", { exact: true }).fill(failed.executions[0].short_id));
  assert.match(page.url(), /\/executions\/[0-9a-f-]{36}/);
  await page.getByRole("link", { name: "week" }).click();
  await page.getByRole("link", { name: "Ledger" }).click();
  assert.match(page.url(), /since=7d/);
  assert.ok(await page.getByText("overflow").count() > 0);
});

await test("j03 what the chart hatches can be clicked", {}, async (page) => {
  await page.goto(base + "/");
  assert.ok(await page.locator("svg rect.lost").count() >= 1);
  await page.locator("svg a").nth(20).click({ force: true });
  await page.waitForURL(/\/executions\?since=\d+&until=\d+/);
});

await test("j01 a page that is open learns of an execution", {}, async (page) => {
  const live = path.join(pictures, "live.toml");
  writeFileSync(live, '[[job]]\napp = "live"\nname = "tick"\nevery = "1h"\nrun = ["true"]\n');
  await page.goto(base + "/executions");
  // Whoever looks has seen it as it was.
  await page.waitForTimeout(2_500);
  const run = spawn(executor, ["run", live, "--now", "live/tick", "--db", database]);
  await new Promise((resolve) => run.on("exit", resolve));
  const notice = page.getByRole("status");
  await notice.waitFor({ timeout: 15_000 });
  await Promise.all([page.waitForEvent("load"), notice.getByRole("link").click()]);
  assert.ok(await page.getByText("live/tick").count() > 0);
});

await test("j01 what can be copied has a button that works over plain HTTP", {}, async (page) => {
  await page.goto(base + "/handlers");
  await page.getByRole("button", { name: "Copy" }).click();
  assert.ok(await page.getByRole("button", { name: "Copied" }).isVisible());
  const chosen = await page.evaluate(() => getSelection().toString());
  assert.match(chosen, /^executor report --since 24h/);
});

// A person acts on a program that runs, with and without scripts.
const token = "browser-tests-know-this-token-0123";
const config = path.join(pictures, "acting.toml");
writeFileSync(config, `[run]\nshutdown_timeout = "1s"
[[job]]\napp = "acting"\nname = "fan"\nafter = "1h"\nrun = ["true"]
[[job]]\napp = "acting"\nname = "nap"\nafter = "10ms"\nrun = ["sleep", "600"]\n`);
const acting = await serve(["run", config, "--serve", "127.0.0.1:0", "--allow-actions"], { EXECUTOR_TOKEN: token });
for (const javaScriptEnabled of [true, false]) {
  const options = { base: acting.base, javaScriptEnabled, bypassCSP: javaScriptEnabled };
  await test(`j02 a person acts, with${javaScriptEnabled ? "" : "out"} scripts`, options, async (page) => {
    await page.goto(acting.base + "/handlers");
    page.wrong = []; // It was not let in yet.
    await page.getByLabel(/Token/).fill(token);
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "acting/fan" }).click();
    if (javaScriptEnabled) assert.deepEqual(await findings(page), []);
    await page.getByRole("button", { name: "Run now" }).click();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("It is paused").waitFor();
    assert.ok(await page.getByRole("button", { name: "Run now" }).isDisabled());
    await page.getByRole("button", { name: "Resume" }).click();
    assert.ok(await page.getByText("somebody with the token").count() >= 3);
    await page.getByRole("link", { name: "Now", exact: true }).click();
    if (javaScriptEnabled) {
      assert.deepEqual(await findings(page), []);
      await page.getByRole("button", { name: /Cancel acting\/nap/ }).click();
      await page.getByRole("link", { name: "Ledger", exact: true }).click();
      assert.ok(await page.getByText("told to end").count() >= 1);
      await page.screenshot({ path: path.join(pictures, "acted.png"), fullPage: true });
    }
  });
}
await test("j02 a page of another site makes it do nothing", { base: acting.base }, async (page) => {
  const form = `<form method="post" action="${acting.base}/handlers/job/1/act"><input name="action" value="run"><button>x</button></form>`;
  const evil = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(form)).listen(0, "127.0.0.1");
  await new Promise((resolve) => evil.once("listening", resolve));
  const place = `http://localhost:${evil.address().port}/`;
  await page.goto(acting.base + "/");
  await page.getByLabel(/Token/).fill(token);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Now" }).waitFor();
  await page.goto(place);
  const read = await page.evaluate((at) => fetch(at, { credentials: "include" }).then(() => "read", () => "refused"), acting.base + "/");
  assert.equal(read, "refused");
  const [answer] = await Promise.all([page.waitForNavigation(), page.getByRole("button").click()]);
  assert.equal(answer.status(), 403);
  page.wrong = [];
  evil.close();
});
acting.child.kill();

const page = await open();
await page.goto(base + "/");
const paints = [];
for (let run = 0; run < 9; run += 1) {
  await page.goto(`${base}/executions`);
  const paint = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null;
  await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
  paints.push(Math.round(await page.evaluate(paint)));
}
paints.sort((one, other) => one - other);
console.log(`first paint: median ${paints[4]} ms, longest ${paints[8]} ms of ${paints.length}`);
await browser.close();
child.kill();
console.log(`${passed} browser tests passed, ${failures} failed`);
process.exit(failures === 0 ? 0 : 1);
