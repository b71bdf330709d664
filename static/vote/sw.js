// The service worker of the audience app: keeps the page and its files, so that a reload with the server gone still shows the question and the
// own vote. (What they show, the page keeps itself: see keep.js.) Anything else it leaves alone: votes and passes, documents, and every other
// page of the product, which share its address. build.rs serves it as /sw.js.

const APP = "/assets/vote/vote.js"; // named by its content, so another version has another cache
/** @type {Record<string, string>} */
const WORDS = { de: "/assets/vote/de.js", fr: "/assets/vote/fr.js", es: "/assets/vote/es.js", ar: "/assets/vote/ar.js" };
const FILES = [APP, ...Object.values(WORDS)]; // with the page, all that is ever kept
const PAGE = "/"; // the same bytes for every code
const CACHE = `gs:${APP}`;
const FRESH_MS = 60_000; // as the page's own max-age: until then nobody is asked
const ANSWER_WITHIN_MS = 5_000; // a full stadium answers late or never; then what is kept is shown
/** First segments that are no code and no short name; a test compares them with the server's. */
const OTHERS = /^(admin|api|assets|present|overlay|embed|poster|status|livez|readyz|metrics|setup|login|static|results|help|oembed)$/i;

const worker = /** @type {any} */ (self);

worker.addEventListener("install", (/** @type {any} */ event) => event.waitUntil(install()));
worker.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(forgetOthers()));
worker.addEventListener("fetch", (/** @type {any} */ event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin) return;
  if (mode === "navigate" && isAudience(pathname)) event.respondWith(page(event));
  else if (FILES.includes(pathname)) event.respondWith(file(event));
});

/** @param {string} path */
function isAudience(path) {
  const code = path.slice(1).replace(/\/$/, "");
  return code === "" || (/^[0-9A-Za-z]([0-9A-Za-z -]|%20){2,39}$/.test(code) && !OTHERS.test(code));
}

async function install() {
  const cache = await caches.open(CACHE);
  // The page that is open was just fetched, so this comes from the browser's own cache.
  const open = await worker.clients.matchAll({ includeUncontrolled: true, type: "window" });
  const shown = open.map((/** @type {{url:string}} */ one) => new URL(one.url).pathname).find(isAudience) ?? PAGE;
  // Of another version: the browser goes on with the worker it has, and tries again at the next visit.
  if (!await keepPage(cache, await fetch(shown)) && !await keepPage(cache, await fetch(shown, { cache: "reload" }))) throw new Error("not the page of this worker");
  const language = navigator.languages.map((one) => one.slice(0, 2).toLowerCase()).find((one) => one === "en" || WORDS[one]);
  await cache.addAll([APP, WORDS[language ?? "en"]].filter(Boolean));
  await worker.skipWaiting();
}

/** The caches of other versions. */
async function forgetOthers() {
  for (const name of await caches.keys()) if (name.startsWith("gs:") && name !== CACHE) await caches.delete(name);
}

/** The network first, unless it was asked a moment ago; what is kept, if it does not answer. @param {any} event */
async function page(event) {
  const cache = await caches.open(CACHE).catch(() => null);
  const kept = await cache?.match(PAGE, { ignoreVary: true });
  if (!cache || !kept) return fetch(event.request);
  const age = Date.now() - Date.parse(kept.headers.get("date") ?? "");
  if (age >= 0 && age < FRESH_MS && event.request.cache !== "reload") return kept;
  const asked = fetch(event.request).then(async (answer) => {
    await keepPage(cache, answer.clone());
    return answer.status < 500 ? answer : kept;
  });
  event.waitUntil(asked.catch(() => {}));
  return Promise.race([asked, new Promise((give) => setTimeout(() => give(kept), ANSWER_WITHIN_MS))]).catch(() => kept);
}

/** Only a page of this version: it must find its files here. @param {Cache} cache @param {Response} answer */
async function keepPage(cache, answer) {
  const ours = answer.ok && (await answer.clone().text()).includes(`"${APP}"`);
  if (ours) await cache.put(PAGE, answer);
  return ours;
}

/** Its name is its content: what is kept is right. @param {any} event */
async function file(event) {
  const cache = await caches.open(CACHE).catch(() => null);
  const kept = await cache?.match(event.request.url, { ignoreVary: true });
  if (kept) return kept;
  const answer = await fetch(event.request);
  if (cache && answer.ok) event.waitUntil(cache.put(event.request.url, answer.clone()).catch(() => {}));
  return answer;
}
