/** @type {import("/assets/shared/words.js").Words} */
export default { votes: { one: "{n} voto", other: "{n} votos" }, no_votes: "Aún no hay votos", not_shown: "El resultado se mostrará más tarde.", final: "definitivo", provisional: "provisional", vote_at: "Vota en", not_here: "Este evento no está aquí.", rehearsal: "Esto es un ensayo. Aquí ningún voto es real." };
