/** @type {import("/assets/shared/words.js").Words} */
export default {};
