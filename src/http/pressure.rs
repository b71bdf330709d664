//! Too much at once: what is refused so that votes get through. New streams first, then results, then pages; votes are refused last, by the
//! line they would join (`intake`), and back office, passes and probes never.
//!
//! The signal is time: how long what has arrived waits for this thread, and how long the oldest vote has waited to become safe. Both are looked
//! at a few times a second; a request pays with one look into memory of its own thread.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::site::Shared;
use super::traffic::Route;
use crate::error::{Error, Result};
use crate::intake::Desk;

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What was refused is served again when it has been calm for so long: else a crowd that comes back at once would swing it to and fro.
const CALM: Duration = Duration::from_millis(500);

/// From when on more is refused: `lag` is how late this thread comes to what is ready, `line` how long the oldest vote has waited.
struct Step {
    lag: Duration,
    line: Duration,
    what: &'static str,
}

/// People notice a tenth of a second; at half a second, a page reloads no faster than its cached copy shows. Votes standing in line are no
/// matter of this thread's time: a broker that says nothing takes a second to be given up, and only behind that does everything make room,
/// before votes are refused at 1,250 ms (`intake::line`).
const STEPS: [Step; 3] = [
    Step { lag: Duration::from_millis(150), line: Duration::from_millis(1_100), what: "streams" },
    Step { lag: Duration::from_millis(250), line: Duration::from_millis(1_150), what: "reads" },
    Step { lag: Duration::from_millis(500), line: Duration::from_millis(1_200), what: "pages" },
];

/// This thread's pressure. Cheap to clone.
#[derive(Clone)]
pub struct Pressure {
    /// So many steps are taken.
    level: Rc<Cell<usize>>,
}

impl Pressure {
    /// Looks until told to stop. `thread` is its number.
    pub fn watch(desk: Desk, thread: usize, shared: Arc<Shared>) -> Pressure {
        // Known to the metrics from the start.
        STEPS.iter().for_each(|step| metrics::counter!(SHED, "what" => step.what).increment(0));
        let pressure = Pressure { level: Rc::default() };
        actix_web::rt::spawn(pressure.clone().look(desk, thread, shared));
        pressure
    }

    /// Is there time for this?
    pub fn check(&self, route: Route) -> Result<()> {
        if self.has_time_for(route) {
            return Ok(());
        }
        if let Some(step) = step_of(route) {
            metrics::counter!(SHED, "what" => STEPS[step].what).increment(1);
        }
        Err(Error::Busy("votes come first"))
    }

    /// The same, for who asks again before anybody is refused.
    pub fn has_time_for(&self, route: Route) -> bool {
        step_of(route).is_none_or(|step| step >= self.level.get())
    }

    /// So many kinds of requests are refused now.
    pub fn level(&self) -> usize {
        self.level.get()
    }

    async fn look(self, desk: Desk, thread: usize, shared: Arc<Shared>) {
        let lags = metrics::histogram!("groundswell_event_loop_lag_seconds", "thread" => thread.to_string());
        let level = metrics::gauge!("groundswell_shedding", "thread" => thread.to_string());
        let mut shedding = Shedding::default();
        loop {
            let due = Instant::now() + LOOK_EVERY;
            tokio::select! {
                () = shared.stop.cancelled() => return,
                () = sleep_until(due) => {}
            }
            let lag = due.elapsed();
            lags.record(lag.as_secs_f64());
            let before = self.level.replace(shedding.look(Instant::now(), lag, desk.look()));
            if before != self.level.get() {
                shared.pressed(thread, self.level.get());
            }
            level.set(self.level.get() as f64);
        }
    }
}

const SHED: &str = "groundswell_shed_total";

/// The step at which this is refused.
fn step_of(route: Route) -> Option<usize> {
    match route {
        Route::Stream => Some(0),
        Route::Live | Route::Mine | Route::Results => Some(1),
        Route::Page | Route::Asset => Some(2),
        Route::Ballots | Route::Passes | Route::Session | Route::Office | Route::Operations | Route::Other => None,
    }
}

/// How much is refused, without clock or thread.
#[derive(Default)]
struct Shedding {
    level: usize,
    /// The look before: a queue that stands is seen twice, a hiccup is not.
    before: (Duration, Duration),
    calm_since: Option<Instant>,
}

impl Shedding {
    fn look(&mut self, now: Instant, lag: Duration, line: Duration) -> usize {
        let standing = (lag.min(self.before.0), line.min(self.before.1));
        self.before = (lag, line);
        let reached = STEPS.iter().take_while(|step| standing.0 >= step.lag || standing.1 >= step.line).count();
        if reached >= self.level {
            (self.level, self.calm_since) = (reached, None);
            return self.level;
        }
        // One step back at a time, and only well below it.
        let step = &STEPS[self.level - 1];
        if standing.0 >= step.lag / 2 || standing.1 >= step.line / 2 {
            self.calm_since = None;
        } else if now - *self.calm_since.get_or_insert(now) >= CALM {
            (self.level, self.calm_since) = (self.level - 1, Some(now));
        }
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM_LOOKS: usize = (CALM.as_millis() / LOOK_EVERY.as_millis()) as usize + 1;

    /// Levels after each of these looks, (lag, line) in milliseconds.
    fn levels(looks: impl IntoIterator<Item = (u64, u64)>) -> Vec<usize> {
        let (mut shedding, mut now) = (Shedding::default(), Instant::now());
        let look = |(lag, line)| {
            now += LOOK_EVERY + Duration::from_millis(lag);
            shedding.look(now, Duration::from_millis(lag), Duration::from_millis(line))
        };
        looks.into_iter().map(look).collect()
    }

    #[test]
    fn what_stands_is_shed_in_order_and_a_hiccup_is_not() {
        assert_eq!(levels([(4_000, 0), (1, 0), (900, 0), (1, 0)]), [0, 0, 0, 0]);
        assert_eq!(levels([(160, 0), (160, 0), (260, 0), (300, 0), (600, 0), (900, 0)]), [0, 1, 1, 2, 2, 3]);
        assert_eq!(levels([(0, 1_099), (0, 1_119), (0, 1_139), (0, 1_159), (0, 1_179), (0, 1_199), (0, 1_219)]), [0, 0, 1, 1, 2, 2, 2]);
        assert_eq!(levels([(0, 5_000), (0, 5_020)]), [0, 3]);
    }

    #[test]
    fn it_is_served_again_one_after_the_other_when_it_has_been_calm() {
        let calm = std::iter::repeat_n((1, 0), 3 * CALM_LOOKS);
        let after = levels([(900, 0), (900, 0)].into_iter().chain(calm));
        assert_eq!((after[1], after.last()), (3, Some(&0)));
        assert!(after[2..].is_sorted_by(|a, b| a >= b && a - b <= 1), "{after:?}");
        let first_back = after.iter().skip(1).take_while(|level| **level == 3).count();
        assert!(first_back >= CALM_LOOKS - 1, "not before it was calm for a while: {first_back}");
        // Half as much is not calm.
        assert_eq!(levels([(900, 0), (900, 0)].into_iter().chain(std::iter::repeat_n((260, 0), 100))).last(), Some(&3));
    }

    #[test]
    fn whatever_is_refused_what_gives_way_earlier_is_refused_too() {
        let order = [Route::Stream, Route::Live, Route::Page].map(|route| step_of(route).expect("it gives way"));
        assert!(order.is_sorted() && order.len() == STEPS.len());
        assert!(STEPS.is_sorted_by(|a, b| a.lag < b.lag && a.line < b.line));
    }
}
