/** @type {import("/assets/shared/words.js").Words} */
export default { votes: { one: "{n} voto", other: "{n} votos" }, no_votes: "Aún no hay votos", final: "definitivo", provisional: "provisional", vote_at: "Vota en", not_here: "Este evento no está aquí.", rehearsal: "Esto es un ensayo. Aquí ningún voto es real." };
