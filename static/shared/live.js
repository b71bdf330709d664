// Which of two live documents is the later one, and what time the server has.

/**
 * @typedef {{id:string, text:string}} Choice
 * @typedef {{id:string, votes:number, percent:number}} Count
 * @typedef {{voters:number, status:"provisional"|"final", choices:Count[], before?:{round:number, voters:number, choices:Count[]}}} Results `before`: the last round in which anybody voted
 * @typedef {{received:number, counted:number, superseded:number, duplicate:number, late:number, in_flight:number,
 *   missing:{instance:string, lane:number, first:number, last:number}[], unreported:{instance:string, last_sign:number}[], status:string}} Books
 * @typedef {{id:string, kind:"single"|"multiple", question:string, state:"draft"|"open"|"closed", round:number,
 *   opens_at:number|null, closes_at:number|null, closed_at:number|null, visibility:string, revealed:boolean,
 *   rules:{min:number, max:number, change:boolean}, choices:Choice[], results:Results|null, books?:Books, locked?:boolean}} Poll
 * @typedef {{event:{code:string, slug?:string|null, title:string, state:"live"|"ended", accent?:{light:string, dark:string}, logo?:string, rehearsal?:boolean}, now:number, version:number, counted_through:number,
 *   current:string|null, join_url:string, view?:import("/assets/present/view.js").View, polls:Poll[]}} Live
 */

/** Several servers draw the same document: the highest version is the latest, of equals the one counted furthest. */
export class Latest {
  /** @type {Live|null} */
  live = null;
  /** Server clock minus performance.now(), which nobody can set. The largest seen is the best: a document that took its time is older than its
   * arrival, and so is one from before this computer slept, where that stops performance.now(). */
  #offset = -Infinity;

  /** @param {Live} next @returns {boolean} whether it is newer than what is kept */
  take(next) {
    this.#offset = Math.max(this.#offset, next.now - performance.now());
    const kept = this.live;
    const newer = !kept || next.version > kept.version || (next.version === kept.version && next.counted_through >= kept.counted_through);
    if (newer) this.live = next;
    return newer;
  }

  now() {
    return this.#offset === -Infinity ? Date.now() : performance.now() + this.#offset;
  }
}

/** Nobody has been asked yet: a draft, or a new round, which starts closed. @param {Poll} poll */
export const isUntouched = (poll) => poll.state === "draft" || (poll.state === "closed" && !poll.closed_at);

/** Published, and opened by the clock later. @param {Poll} poll */
export const isScheduled = (poll) => poll.state === "open" && Boolean(poll.opens_at && Date.now() < poll.opens_at);

/** Does what is revealed or hidden concern the big screen alone? As `audience_sees_result` in the domain decides without it. @param {Poll} poll */
export const phonesGoOn = (poll) => poll.visibility === "live" || poll.visibility === "after_vote"
  || (poll.visibility === "after_close" && poll.state === "closed" && Boolean(poll.closed_at));
