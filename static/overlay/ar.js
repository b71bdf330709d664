/** @type {import("/assets/shared/words.js").Words} */
export default { votes: { zero: "لا أصوات", one: "صوت واحد", two: "صوتان", few: "{n} أصوات", many: "{n} صوتًا", other: "{n} صوت" }, no_votes: "لا أصوات بعد", not_shown: "تظهر النتيجة لاحقًا.", final: "نهائي", provisional: "مؤقت", vote_at: "صوّت على", not_here: "هذه الفعالية ليست هنا.", rehearsal: "هذه تجربة. لا صوت هنا حقيقي." };
