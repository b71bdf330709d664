// Only in pages that ask a server under another name (`groundswell export static --origin`; src/http/bundle.rs adds it): why nobody answers, where
// the reason is that the server does not know this site (ALLOWED_ORIGINS). The browser tells a page of that no more than of a broken network, so
// the app says "no answer" and would for ever. But a picture needs no permission: where it comes and the document does not, it is that.
// Not part of the app as the server sends it, which has no second name to ask.

const server = document.querySelector('meta[name="api"]')?.getAttribute("content") ?? "";
const code = decodeURIComponent(location.pathname.slice(1).replace(/\/+$/, ""));
const TRY_AGAIN_AFTER_MS = 30_000; // an outage looks the same at first, and is everybody's
const ANSWER_WITHIN_MS = 10_000;

/** With the address of this page and the server's. @type {Record<string, string>} */
const WORDS = {
  en: "This page comes from {site}, and the server {server} takes no votes from there. Nothing has been counted. Please tell the organisers: ALLOWED_ORIGINS has to name {site}.",
  de: "Diese Seite kommt von {site}, und der Server {server} nimmt von dort keine Stimmen an. Nichts wurde gezählt. Bitte sag es denen, die einladen: ALLOWED_ORIGINS muss {site} nennen.",
  fr: "Cette page vient de {site}, et le serveur {server} n’accepte pas de votes de là. Rien n’a été compté. Merci de le dire à l’équipe d’organisation : ALLOWED_ORIGINS doit nommer {site}.",
  es: "Esta página viene de {site} y el servidor {server} no acepta votos desde ahí. No se ha contado nada. Por favor, avisa a quien organiza: ALLOWED_ORIGINS tiene que nombrar {site}.",
  ar: "هذه الصفحة من {site}، والخادم {server} لا يقبل أصواتًا من هناك. لم يُحسب أي شيء. من فضلك أخبر المنظمين: يجب أن يذكر ALLOWED_ORIGINS الموقع {site}.",
};

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const said = document.createElement("p");
said.className = "notice warn";
said.dataset.testid = "not-allowed";
said.setAttribute("role", "alert");

let triedAt = -Infinity;

// What the app draws, it draws when it has its words: so it is looked at, not listened to.
const drawn = new MutationObserver(look);
for (const id of ["screen-loading", "connection"]) drawn.observe($(id), { attributeFilter: ["hidden"] });
for (const change of ["online", "offline"]) addEventListener(change, look);
look();

function look() {
  // As soon as a document was read, the site is known; and the words of a network that fails are the app's.
  const isWaiting = !$("screen-loading").hidden && !$("connection").hidden && navigator.onLine;
  if (!isWaiting) said.remove();
  else if (!said.isConnected && performance.now() - triedAt > TRY_AGAIN_AFTER_MS) tell();
  $("loading-note").hidden = said.isConnected; // nothing is being fetched
  $("connection").style.display = said.isConnected ? "none" : ""; // it says "no answer"
}

async function tell() {
  triedAt = performance.now();
  setTimeout(look, TRY_AGAIN_AFTER_MS + 1); // it may have been an outage, and then be this
  const live = `${server}/api/v1/live/${encodeURIComponent(code)}`;
  if (!await isThere(`${live}/qr.svg`) || await mayBeRead(live)) return;
  const language = navigator.languages.map((one) => one.slice(0, 2).toLowerCase()).find((one) => WORDS[one]) ?? "en";
  const values = { site: location.origin, server: new URL(server).host };
  // The marks keep an address whole in a text from right to left.
  said.textContent = WORDS[language].replace(/\{(\w+)\}/g, (_, name) => `\u2068${values[/** @type {"site"|"server"} */ (name)]}\u2069`);
  document.querySelector(".bottom")?.prepend(said);
  look();
}

/** A picture of the product itself: whatever else answers there has none, such as an edge whose servers are away. @param {string} picture @returns {Promise<boolean>} */
const isThere = (picture) => new Promise((tell) => {
  const image = new Image();
  image.onload = () => tell(true);
  image.onerror = () => tell(false);
  setTimeout(() => tell(false), ANSWER_WITHIN_MS);
  image.src = picture;
});

/** @param {string} address */
const mayBeRead = (address) => fetch(address, { credentials: "omit", cache: "no-cache" }).then(() => true, () => false);

export {}; // a file of its own, with names of its own
