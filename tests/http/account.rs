//! Setting up and signing in: once, for those who may, and not from somebody else's page.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::hall::Hall;
use crate::on_both;
use crate::process::command;
use crate::support::{Answer, Backend, Server, TOKEN};

on_both![
    the_setup_link_works_once,
    a_session_is_signed_in_and_out,
    a_password_is_changed_by_who_knows_it_and_everybody_else_is_out,
    a_forgotten_password_is_set_from_the_command_line,
    a_wrong_password_says_no_more_than_that,
    whoever_guesses_passwords_is_slowed_down,
    another_site_cannot_act_in_a_session,
    an_api_token_is_an_owner,
];

pub const EMAIL: &str = "ada@example.org";
pub const PASSWORD: &str = "a few words in a row";

fn token(server: &Server) -> String {
    server.setup_link.split_once("#setup=").expect("a setup link").1.to_owned()
}

/// As a browser does from our own page.
pub fn browser(server: &Server, method: &str, path: &str, cookie: Option<&str>, body: serde_json::Value) -> Answer {
    let mut headers = vec![("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
    headers.extend(cookie.map(|c| ("cookie", c)));
    let body = (!body.is_null()).then(|| body.to_string());
    server.call(method, path, &headers, body.as_deref())
}

pub fn set_up(server: &Server) -> String {
    let body = json!({"token": token(server), "email": EMAIL, "password": PASSWORD});
    cookie(&browser(server, "POST", "/api/v1/setup", None, body).expect(201))
}

#[track_caller]
pub fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
}

fn the_setup_link_works_once(backend: Backend) {
    let hall = Hall::open(backend);
    assert_eq!(hall.get("/api/v1/setup").expect(200).json(), json!({"needed": true}));
    let try_it =
        |token: &str, email: &str, password: &str| browser(&hall, "POST", "/api/v1/setup", None, json!({"token": token, "email": email, "password": password}));
    let right = token(&hall);
    for wrong in ["", "gotcha", &right[1..], &format!("{right}0"), &right.to_uppercase()] {
        assert_eq!(try_it(wrong, EMAIL, PASSWORD).expect(403).code(), "setup_token_invalid");
    }
    for (email, password, code) in [
        (EMAIL, "eleven char", "password_short"),
        (EMAIL, "", "password_short"),
        ("gotcha", PASSWORD, "email_invalid"),
        ("", PASSWORD, "email_invalid"),
        ("a@b\u{0}c", PASSWORD, "email_invalid"),
        ("a@b c", PASSWORD, "email_invalid"),
        (EMAIL, &"x".repeat(1_025), "password_long"),
    ] {
        assert_eq!(try_it(&right, email, password).expect(422).code(), code);
    }
    let long = try_it(&right, EMAIL, &"é".repeat(1_025)).expect(422).json();
    assert_eq!(long["detail"], "This password is too long: at most 1,024 characters.", "it names the limit");
    assert_eq!(hall.get("/api/v1/setup").expect(200).json(), json!({"needed": true}), "nothing was done so far");
    let cross = hall.call(
        "POST",
        "/api/v1/setup",
        &[("origin", "https://gotcha.example"), ("content-type", "application/json")],
        Some(&json!({"token": right, "email": EMAIL, "password": PASSWORD}).to_string()),
    );
    assert_eq!(cross.expect(403).code(), "cross_site");
    let done = try_it(&right, " Ada@Example.org ", PASSWORD).expect(201);
    assert_eq!((&done.json()["user"]["email"], &done.json()["user"]["role"]), (&json!(EMAIL), &json!("owner")));
    assert_eq!(browser(&hall, "GET", "/api/v1/session", Some(&cookie(&done)), json!(null)).expect(200).json(), done.json(), "and signed in");
    assert_eq!(hall.get("/api/v1/setup").expect(200).json(), json!({"needed": false}));
    for token in [right.as_str(), "gotcha"] {
        assert_eq!(try_it(token, "eve@example.org", PASSWORD).expect(409).code(), "already_set_up");
    }
    let hall = hall.restart();
    assert!(!hall.setup_link.contains("setup="), "no link is printed any more: {}", hall.setup_link);
    assert_eq!(
        browser(&hall, "GET", "/api/v1/session", Some(&cookie(&done)), json!(null)).expect(200).json()["user"]["email"],
        EMAIL,
        "sessions outlive a restart"
    );
}

fn a_session_is_signed_in_and_out(backend: Backend) {
    let hall = Hall::open(backend);
    let first = set_up(&hall);
    let answer = browser(&hall, "POST", "/api/v1/session", Some(&first), json!({"email": EMAIL, "password": PASSWORD})).expect(201);
    let second = cookie(&answer);
    assert_ne!(first, second, "a session is never taken over");
    let set = answer.header("set-cookie").unwrap().to_lowercase();
    for flag in ["; httponly", "; samesite=strict", "; path=/", "; max-age="] {
        assert!(set.contains(flag), "{flag} in {set}");
    }
    assert!(!set.contains("domain="), "{set}");
    assert!(set.contains("; secure") == set.starts_with("__host-"), "{set}");
    assert!(is_signed_in(&hall, &first) && is_signed_in(&hall, &second));
    browser(&hall, "POST", "/api/v1/events", Some(&second), json!({"title": "Friday"})).expect(201);
    let out = browser(&hall, "DELETE", "/api/v1/session", Some(&second), json!(null)).expect(204);
    assert!(out.header("set-cookie").is_some_and(|c| c.contains("Max-Age=0")), "{out:?}");
    assert_eq!((is_signed_in(&hall, &first), is_signed_in(&hall, &second)), (true, false), "revoked on the server, and only this one");
    assert_eq!(browser(&hall, "GET", "/api/v1/session", None, json!(null)).expect(200).json(), json!({"user": null}), "to ask is no mistake");
    browser(&hall, "DELETE", "/api/v1/session", None, json!(null)).expect(204);
}

/// Where people type https, the cookie is bound to it.
#[test]
fn over_https_the_cookie_is_secure() {
    let hall = Hall::open_with(Backend::Embedded, &["--public-url", "https://vote.example.org"]);
    let answer = browser(&hall, "POST", "/api/v1/setup", None, json!({"token": token(&hall), "email": EMAIL, "password": PASSWORD})).expect(201);
    let set = answer.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-") && set.contains("; Secure"), "{set}");
    assert!(hall.setup_link.starts_with("https://vote.example.org/admin#setup="), "{}", hall.setup_link);
    let event = hall.event();
    assert_eq!(event.presenter(&hall)["join_url"], format!("https://vote.example.org/{}", event.code));
}

const NEXT: &str = "some other words in a row";

fn signs_in(server: &Server, password: &str) -> Option<String> {
    let answer = browser(server, "POST", "/api/v1/session", None, json!({"email": EMAIL, "password": password}));
    (answer.status == 201).then(|| cookie(&answer))
}

fn is_signed_in(server: &Server, cookie: &str) -> bool {
    !browser(server, "GET", "/api/v1/session", Some(cookie), json!(null)).expect(200).json()["user"].is_null()
}

fn a_password_is_changed_by_who_knows_it_and_everybody_else_is_out(backend: Backend) {
    let hall = Hall::open(backend);
    let own = set_up(&hall);
    let other = signs_in(&hall, PASSWORD).expect("it is the password");
    let change =
        |cookie: Option<&str>, current: &str, next: &str| browser(&hall, "PUT", "/api/v1/password", cookie, json!({"current": current, "password": next}));
    assert_eq!(change(None, PASSWORD, NEXT).status, 401);
    assert_eq!(change(Some(&own), "not these words at all", NEXT).expect(403).code(), "password_wrong");
    assert_eq!(change(Some(&own), PASSWORD, "eleven char").expect(422).code(), "password_short");
    assert_eq!(change(Some(&own), PASSWORD, &"x".repeat(1_025)).expect(422).code(), "password_long");
    assert!(is_signed_in(&hall, &other), "nothing was changed");
    change(Some(&own), PASSWORD, NEXT).expect(204);
    assert_eq!((is_signed_in(&hall, &own), is_signed_in(&hall, &other)), (true, false));
    assert_eq!((signs_in(&hall, PASSWORD).is_some(), signs_in(&hall, NEXT).is_some()), (false, true));
    // Guessing is as slow here as at the door.
    let guesses = (0..15).map(|_| change(Some(&own), "not these words at all", NEXT).status);
    assert!(guesses.into_iter().any(|status| status == 429), "a browser that was left open is no place to guess at");
}

fn a_forgotten_password_is_set_from_the_command_line(backend: Backend) {
    let hall = Hall::open(backend);
    let session = set_up(&hall);
    let elsewhere = tempfile::tempdir().unwrap();
    let set = |email: &str, password: &str| {
        let mut command = command(elsewhere.path(), &["password", email]);
        let piped = command.env("DATABASE_URL", &hall.place.database_url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("it runs");
        child.stdin.take().expect("piped").write_all(format!("{password}\n").as_bytes()).expect("it reads");
        let said = child.wait_with_output().expect("it ends");
        (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    };
    let (done, said) = set("eve@example.org", NEXT);
    assert!(!done && said.contains("no account with this email address"), "{said}");
    let (done, said) = set(EMAIL, "short");
    assert!(!done && said.contains("at least 12 characters"), "{said}");
    assert!(is_signed_in(&hall, &session) && signs_in(&hall, PASSWORD).is_some(), "nothing was changed");
    let (done, said) = set(" Ada@Example.org", NEXT);
    assert!(done && said.contains("The password is set"), "{said}");
    assert_eq!((is_signed_in(&hall, &session), signs_in(&hall, PASSWORD).is_some(), signs_in(&hall, NEXT).is_some()), (false, false, true));
}

fn a_wrong_password_says_no_more_than_that(backend: Backend) {
    let hall = Hall::open(backend);
    set_up(&hall);
    let sign_in = |email: &str, password: &str| browser(&hall, "POST", "/api/v1/session", None, json!({"email": email, "password": password}));
    let fastest = |email: &str, password: &str| (0..3).map(|_| sign_in(email, password).expect(401)).min_by_key(|a| a.took).expect("three");
    let (wrong, nobody) = (fastest(EMAIL, "not these words at all"), fastest("eve@example.org", PASSWORD));
    assert_eq!((wrong.code(), &wrong.body), ("login_failed".into(), &nobody.body));
    assert!(nobody.took * 3 > wrong.took, "how long it takes tells whether there is such an account: {:?} and {:?}", wrong.took, nobody.took);
    for (email, password) in [("gotcha", PASSWORD), ("", ""), (EMAIL, ""), (EMAIL, &*"x".repeat(100_000)), (EMAIL, "a few words in a row\u{0}")] {
        let answer = sign_in(email, password).expect(401);
        assert!(answer.code() == "login_failed" && answer.header("set-cookie").is_none(), "{answer:?}");
    }
    sign_in(" ADA@example.org", PASSWORD).expect(201);
}

fn whoever_guesses_passwords_is_slowed_down(backend: Backend) {
    let hall = Hall::open(backend);
    let cookie = set_up(&hall);
    let guess = |n: usize| browser(&hall, "POST", "/api/v1/session", None, json!({"email": EMAIL, "password": format!("guess number {n:03}")}));
    let answers: Vec<Answer> = (0..14).map(guess).collect();
    let slowed: Vec<&Answer> = answers.iter().filter(|a| a.status == 429).collect();
    assert!((2..=8).contains(&slowed.len()), "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    assert!(slowed.iter().all(|a| a.code() == "too_many_requests" && a.header("retry-after").is_some() && a.took < Duration::from_millis(250)));
    // Nobody who is signed in already notices, nor do voters.
    browser(&hall, "GET", "/api/v1/session", Some(&cookie), json!(null)).expect(200);
    hall.event();
}

/// Somebody in the same hall knows the owner's e-mail address, and guesses.
#[test]
fn whoever_knows_the_address_of_an_account_cannot_keep_its_owner_out() {
    let hall = Hall::open(Backend::Embedded);
    let body = json!({"token": token(&hall), "email": EMAIL, "password": PASSWORD});
    let set_up = browser(&hall, "POST", "/api/v1/setup", None, body).expect(201);
    let cookies = |answer: &Answer| -> Vec<String> {
        answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.split(';').next().unwrap().to_owned()).collect()
    };
    let [_, device] = &cookies(&set_up)[..] else { panic!("a session and a device: {set_up:?}") };
    let sign_in = |cookie: Option<&str>, password: &str| browser(&hall, "POST", "/api/v1/session", cookie, json!({"email": EMAIL, "password": password}));
    while sign_in(None, "guess after guess").status == 401 {}
    let strangers = [None, Some("groundswell-device=gotcha"), Some("groundswell-device=")];
    assert!(strangers.iter().all(|cookie| sign_in(*cookie, PASSWORD).status == 429), "from there, no stranger gets in");
    let in_again = sign_in(Some(device), PASSWORD).expect(201);
    assert!(cookies(&in_again).contains(device), "known for another year: {in_again:?}");
    // Known is not trusted.
    sign_in(Some(device), "guess after guess").expect(401);
    assert!(!is_signed_in(&hall, device));
    let guesses = (0..20).take_while(|_| sign_in(Some(device), "guess after guess").status == 401).count();
    assert!(guesses < 15, "{guesses} guesses with a stolen one");
}

fn another_site_cannot_act_in_a_session(backend: Backend) {
    let hall = Hall::open(backend);
    let cookie = set_up(&hall);
    let host = format!("http://{}", hall.address);
    let act = |headers: &[(&str, &str)]| {
        let headers = [&[("cookie", cookie.as_str()), ("content-type", "application/json")], headers].concat();
        hall.call("POST", "/api/v1/events", &headers, Some(r#"{"title":"Friday"}"#))
    };
    for headers in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "gotcha")],
        &[("origin", "https://gotcha.example")],
        &[("origin", "null")],
        &[("origin", "")],
        &[("origin", "http://127.0.0.1:1")],
        &[("sec-fetch-site", "cross-site"), ("origin", &host)],
        &[("referer", &host)],
    ] {
        assert_eq!(act(headers).expect(403).code(), "cross_site", "{headers:?}");
    }
    assert_eq!(browser(&hall, "GET", "/api/v1/events", Some(&cookie), json!(null)).expect(200).json(), json!({"events": []}), "nothing was done");
    act(&[("sec-fetch-site", "same-origin")]).expect(201);
    act(&[("origin", &host)]).expect(201);
    let out = |headers: &[(&str, &str)]| hall.call("DELETE", "/api/v1/session", &[&[("cookie", cookie.as_str())], headers].concat(), None);
    assert_eq!(out(&[("sec-fetch-site", "cross-site")]).expect(403).code(), "cross_site");
    let sign_in = json!({"email": EMAIL, "password": PASSWORD}).to_string();
    let there = hall.call("POST", "/api/v1/session", &[("origin", "https://gotcha.example"), ("content-type", "application/json")], Some(&sign_in));
    assert_eq!(there.expect(403).code(), "cross_site", "nobody is signed in by another site");
    // A page of another site may neither read nor ask beforehand.
    let before = hall.call("OPTIONS", "/api/v1/events", &[("origin", "https://gotcha.example"), ("access-control-request-method", "POST")], None);
    assert!(before.status == 405 && !before.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{before:?}");
}

fn an_api_token_is_an_owner(backend: Backend) {
    let hall = Hall::open(backend);
    let call = |authorization: &str| hall.call("GET", "/api/v1/session", &[("authorization", authorization)], None);
    assert_eq!(call(&format!("Bearer {TOKEN}")).expect(200).json()["user"]["role"], "owner");
    call(&format!("bearer {TOKEN}")).expect(200);
    for wrong in [&TOKEN[1..], &TOKEN.to_uppercase(), &format!("{TOKEN}x"), "gotcha"] {
        assert_eq!(call(&format!("Bearer {wrong}")).expect(401).code(), "token_invalid");
    }
    // A token is not sent by a browser on its own: no page can borrow it.
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("origin", "https://gotcha.example"), ("content-type", "application/json")];
    hall.call("POST", "/api/v1/events", &headers, Some(r#"{"title":"Friday"}"#)).expect(201);
}
