/** @type {import("/assets/shared/words.js").Words} */
export default { votes: { one: "{n} vote", other: "{n} votes" }, no_votes: "Pas encore de vote", not_shown: "Le résultat sera montré plus tard.", final: "définitif", provisional: "provisoire", vote_at: "Votez sur", not_here: "Cet événement n’est pas ici.", rehearsal: "Ceci est une répétition. Aucun vote n’est réel ici." };
