// Making the first account, signing in, and another password.

import { api } from "/assets/shared/api.js";
import { t } from "/assets/shared/words.js";
import { clone, done, each, onSubmit, required, setText, slot, Wrong } from "/assets/admin/dom.js";

const PASSWORD_LEAST = 12; // characters
const PASSWORD_MOST = 1024;

/** @param {string} token from the link the server printed @param {() => void} leave */
export function setupPage(token, leave) {
  const form = clone("setup-page");
  onSubmit(form, async (fields) => {
    const [email, password] = each(() => readEmail(fields), () => readNewPassword(fields));
    try {
      await api("POST", "setup", { token, email, password });
    } catch (error) {
      const field = ["email", "password"].find((name) => error.code.startsWith(`${name}_`));
      throw field ? new Wrong(field, error.detail) : error;
    }
    leave();
  });
  return form;
}

/** @param {string} why @param {() => void} leave */
export function signInPage(why, leave) {
  const form = clone("sign-in-page");
  slot(form, "why").textContent = why;
  slot(form, "why").hidden = !why;
  onSubmit(form, async (fields) => {
    const [email, password] = each(() => readEmail(fields), () => readPassword(fields));
    await api("POST", "session", { email, password });
    leave();
  });
  return form;
}

/** @param {string} email @param {() => void} leave once it is changed */
export function accountPage(email, leave) {
  const form = clone("account-page");
  setText(slot(form, "email"), email);
  form.elements.email.value = email; // for who keeps passwords
  onSubmit(form, async (fields) => {
    const [current, password] = each(() => readPassword(fields, "current"), () => readNewPassword(fields));
    try {
      await api("PUT", "password", { current, password });
    } catch (error) {
      const field = new Map([["password_wrong", "current"], ["password_short", "password"], ["password_long", "password"]]).get(error.code);
      throw field ? new Wrong(field, error.detail) : error;
    }
    leave();
    done(t("password_changed"));
  });
  return { element: form };
}

/** @param {FormData} fields */
function readEmail(fields) {
  const email = required(fields, "email", t("type_email"));
  if (!/^\S+@\S+$/.test(email)) throw new Wrong("email", t("email_odd"));
  return email;
}

/** @param {FormData} fields as it was typed: a space at its end is part of it @param {string} [field] */
function readPassword(fields, field = "password") {
  const password = String(fields.get(field) ?? "");
  if (!password) throw new Wrong(field, t("type_password"));
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
