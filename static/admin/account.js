// Making the first account, and signing in.

import { api } from "/assets/shared/api.js";
import { t } from "/assets/shared/words.js";
import { clone, onSubmit, required, slot, Wrong } from "/assets/admin/dom.js";

const PASSWORD_LEAST = 12; // characters

/** @param {string} token from the link the server printed @param {() => void} done */
export function setupPage(token, done) {
  const form = clone("setup-page");
  onSubmit(form, async (fields) => {
    const email = readEmail(fields);
    const password = String(fields.get("password") ?? "");
    if (password.length < PASSWORD_LEAST) throw new Wrong("password", t("password_short", { least: PASSWORD_LEAST, n: password.length }));
    await api("POST", "setup", { token, email, password });
    done();
  });
  return form;
}

/** @param {string} why @param {() => void} done */
export function signInPage(why, done) {
  const form = clone("sign-in-page");
  slot(form, "why").textContent = why;
  slot(form, "why").hidden = !why;
  onSubmit(form, async (fields) => {
    const email = readEmail(fields);
    const password = String(fields.get("password") ?? "");
    if (!password) throw new Wrong("password", t("type_password"));
    await api("POST", "session", { email, password });
    done();
  });
  return form;
}

/** @param {FormData} fields */
function readEmail(fields) {
  const email = required(fields, "email", t("type_email"));
  if (!/^\S+@\S+$/.test(email)) throw new Wrong("email", t("email_odd"));
  return email;
}
