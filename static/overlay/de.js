/** @type {import("/assets/shared/words.js").Words} */
export default { votes: { one: "{n} Stimme", other: "{n} Stimmen" }, no_votes: "Noch keine Stimmen", not_shown: "Das Ergebnis kommt später.", final: "endgültig", provisional: "vorläufig", vote_at: "Abstimmen auf", not_here: "Diese Veranstaltung ist nicht hier.", rehearsal: "Das ist eine Probe. Keine Stimme ist hier echt." };
