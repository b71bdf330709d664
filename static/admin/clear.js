// Where a toast stands: beside the page where its margin is wide enough, as admin.css has it; else where it lies over nothing that can be pressed,
// however far the page is scrolled. What was done is news, the next button is not to be waited for.

const PRESSED = "a[href], button, input, select, summary, textarea";
const EDGE_PX = 8;
const AIR_PX = 4; // between it and what is pressed
const STEP_PX = 4;

/** @type {HTMLElement|undefined} */
let toast;
let planned = 0;

/** @param {HTMLElement} one that is shown */
export function standClear(one) {
  if (!toast) {
    toast = one;
    addEventListener("scroll", plan, { passive: true });
    addEventListener("resize", plan);
    const page = document.getElementById("page");
    if (page) new ResizeObserver(plan).observe(page);
  }
  toast.style.removeProperty("--top");
  place();
}

/** Once a frame, and not from under a pointer that is on its way to Undo. */
function plan() {
  if (!toast || toast.hidden || toast.matches(":hover")) return;
  planned ||= requestAnimationFrame(place);
}

function place() {
  planned = 0;
  if (!toast || toast.hidden) return;
  const here = toast.getBoundingClientRect();
  const over = [...document.querySelectorAll(PRESSED)].filter((one) => !toast?.contains(one) && one.checkVisibility({ visibilityProperty: true })).map((one) => one.getBoundingClientRect())
    .filter((box) => box.width && box.left < here.right + AIR_PX && box.right > here.left - AIR_PX && box.bottom > 0 && box.top < innerHeight);
  const isFree = (/** @type {number} */ top) => over.every((box) => box.bottom + AIR_PX <= top || box.top - AIR_PX >= top + here.height);
  if (isFree(here.top)) return; // it does not wander about
  for (let top = innerHeight - here.height - EDGE_PX; top >= EDGE_PX; top -= STEP_PX) {
    if (!isFree(top)) continue;
    toast.style.setProperty("--top", `${top}px`);
    return;
  }
  toast.style.removeProperty("--top"); // nowhere: it goes by itself
}
