// Making the first account, and signing in.

import { api } from "/assets/shared/api.js";
import { t } from "/assets/shared/words.js";
import { clone, each, onSubmit, required, slot, Wrong } from "/assets/admin/dom.js";

const PASSWORD_LEAST = 12; // characters
const PASSWORD_MOST = 1024;

/** @param {string} token from the link the server printed @param {() => void} done */
export function setupPage(token, done) {
  const form = clone("setup-page");
  onSubmit(form, async (fields) => {
    const [email, password] = each(() => readEmail(fields), () => readNewPassword(fields));
    try {
      await api("POST", "setup", { token, email, password });
    } catch (error) {
      const field = ["email", "password"].find((name) => error.code.startsWith(`${name}_`));
      throw field ? new Wrong(field, error.detail) : error;
    }
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
    const [email, password] = each(() => readEmail(fields), () => readPassword(fields));
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

/** @param {FormData} fields as it was typed: a space at its end is part of it */
function readPassword(fields) {
  const password = String(fields.get("password") ?? "");
  if (!password) throw new Wrong("password", t("type_password"));
  return password;
}

/** @param {FormData} fields */
function readNewPassword(fields) {
  const password = String(fields.get("password") ?? "");
  const n = [...password].length;
  if (n < PASSWORD_LEAST) throw new Wrong("password", t("password_short", { least: PASSWORD_LEAST, n }));
  if (n > PASSWORD_MOST) throw new Wrong("password", t("password_long", { most: PASSWORD_MOST, n }));
  return password;
}
