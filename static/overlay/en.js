// What the overlay's code says, in English.

/** @type {import("/assets/shared/words.js").Words} */
const en = {
  votes: { one: "{n} vote", other: "{n} votes" },
  no_votes: "No votes yet",
  nobody: "No votes",
  voters: { one: "{n} voter", other: "{n} voters" },
  round: "round {n}",
  not_shown: "The result is shown later.",
  final: "final",
  provisional: "provisional",
};

export { en };

export const others = {
  de: () => import("/assets/overlay/de.js"),
  fr: () => import("/assets/overlay/fr.js"),
  es: () => import("/assets/overlay/es.js"),
  ar: () => import("/assets/overlay/ar.js"),
};
