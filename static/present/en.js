// What the presenter's code says, in English. Other languages are files beside this one, with the texts of the page too.

/** @type {import("/assets/shared/words.js").Words} */
const en = {
  votes: { one: "{n} vote", other: "{n} votes" },
  no_votes: "No votes yet",
  round: "round {n}",
  final: "final",
  provisional: "provisional, still counting",
  tie: "a tie",
  several: "several picks each: shares of voters may pass 100% together",
  opens_soon: "Opens soon",
  open: "Open",
  closed: "Closed",
  not_open: "Not open yet",
  ended: "Ended",
  over: "This event has ended",
  over_text: "Phones say so, too. Its results stay, and its page makes it live again.",
  waiting: "Waiting",
  on_stage: "{title}: on stage",
  join_screen: "Join screen.",
  bars_hidden: "bars hidden",
  result_hidden: "result hidden",
  later: "the result is shown later",
  hidden: "hidden",
  lost: "No connection. Result from {age} ago.",
  no_connection: "No connection yet",
  trying: "Trying again by itself.",
  sign_in: "Sign in",
  please_sign_in: "Please sign in",
  sign_in_why: "The presenter's screen is for signed-in people. Sign in, then open it from the event's page.",
  not_here: "This event is not here",
  all_events: "All events",
  open_voting: "Open voting",
  open_again: "Open again",
  close_voting: "Close voting",
  reveal: "Reveal bars",
  hide: "Hide bars",
  upcoming: "Next: {question}",
  last: "Last question",
  no_fullscreen: "This browser does not allow full screen.",
  no_window: "This browser did not open a window. Allow windows for this page, then press W again.",
  seconds: { one: "{n} second", other: "{n} seconds" },
  minutes: { one: "{n} minute", other: "{n} minutes" },
};

export { en };

export const others = {
  de: () => import("/assets/present/de.js"),
  fr: () => import("/assets/present/fr.js"),
  es: () => import("/assets/present/es.js"),
  ar: () => import("/assets/present/ar.js"),
};
