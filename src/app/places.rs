//! Where processes work on the disk. The embedded one has DATA_DIR for itself. Web processes beside a broker may share it: each takes a
//! numbered place in it by lock, and what a dead one left in its place is adopted by one that lives. What a spill is, is not known here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::intake::Intake;
use crate::queue::{Spill, SpillSettings};

/// Web processes on one DATA_DIR, the dead included whose votes nobody has adopted yet. More than one machine has cores for.
pub const PLACES_MAX: u8 = 64;
/// How often a process looks for votes that nobody looks after. Meanwhile they are safe, and results wait for them.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Has what was adopted been passed on?
const PASSED_ON_EVERY: Duration = Duration::from_millis(250);
const LOCK: &str = "groundswell.lock";

/// A directory that nobody else works in while this lives.
#[derive(Debug)]
pub struct Place {
    pub directory: PathBuf,
    _lock: File,
}

impl Place {
    /// `None` while another process works there.
    fn lock(directory: PathBuf) -> anyhow::Result<Option<Place>> {
        std::fs::create_dir_all(&directory).with_context(|| format!("DATA_DIR: cannot make {}", directory.display()))?;
        let path = directory.join(LOCK);
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = open.with_context(|| format!("DATA_DIR: cannot write {}", path.display()))?;
        Ok(lock.try_lock().is_ok().then_some(Place { directory, _lock: lock }))
    }
}

/// The whole directory, for one process.
pub fn take_whole(directory: PathBuf) -> anyhow::Result<Place> {
    match Place::lock(directory.clone())? {
        Some(place) => Ok(place),
        None => bail!("DATA_DIR: another groundswell process works on {}. Stop it first, or give this one a directory of its own.", directory.display()),
    }
}

/// A place among others: one where votes were left if there is one, so that they follow soon; else the first that is free.
pub fn take_one(data_dir: &Path) -> anyhow::Result<Place> {
    let mut free = None;
    for directory in places(data_dir) {
        if free.is_some() && !directory.exists() {
            continue;
        }
        let Some(place) = Place::lock(directory)? else { continue };
        // What cannot be looked at may hold votes, such as one on a full disk: whoever opens it says what is wrong.
        if Spill::is_left(&place.directory).unwrap_or(true) {
            return Ok(place);
        }
        free.get_or_insert(place);
    }
    match free {
        Some(place) => Ok(place),
        None => bail!("DATA_DIR: {PLACES_MAX} groundswell processes work on {} already. Give this one a directory of its own.", data_dir.display()),
    }
}

/// In their order. Until there were places, the one process had its spill in DATA_DIR itself: there it still is.
fn places(data_dir: &Path) -> impl Iterator<Item = PathBuf> {
    let before_places = Spill::is_in(data_dir).then(|| data_dir.to_owned());
    let data_dir = data_dir.to_owned();
    before_places.into_iter().chain((1..=PLACES_MAX).map(move |number| data_dir.join(format!("spill-{number:02}"))))
}

/// Places where a dead process left something; they are ours now.
fn left_behind(data_dir: &Path) -> Vec<Place> {
    let mut found = Vec::new();
    for directory in places(data_dir).filter(|directory| Spill::is_in(directory)) {
        let taken = Place::lock(directory.clone()).and_then(|place| match place {
            Some(place) if Spill::is_left(&place.directory)? => Ok(Some(place)),
            _ => Ok(None),
        });
        match taken {
            Ok(place) => found.extend(place),
            Err(why) => tracing::warn!(directory = %directory.display(), %why, "votes may lie there, and cannot be looked at"),
        }
    }
    found
}

/// Looks after what dead processes left, for as long as this one runs: when there are fewer of them than there were, or one has died
/// and its votes should not wait until there is another.
pub async fn adopt_until(intake: Intake, data_dir: PathBuf, settings: SpillSettings, stop: CancellationToken) {
    let mut wards: Vec<(Spill, Place)> = Vec::new();
    loop {
        let looked = tokio::time::Instant::now();
        let (among, with) = (data_dir.clone(), settings.clone());
        // Files are opened. An adopted one is not found again: it is locked.
        let look = tokio::task::spawn_blocking(move || left_behind(&among).into_iter().filter_map(|place| adopt(place, &with)).collect::<Vec<_>>());
        let Ok(adopted) = look.await else { return };
        for (spill, place) in adopted {
            tracing::info!(directory = %place.directory.display(), ballots = spill.holding().ballots, "what a process left that is gone is passed on");
            intake.adopt(spill.clone());
            wards.push((spill, place));
        }
        while looked.elapsed() < LOOK_EVERY {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PASSED_ON_EVERY) => {}
            }
            for (spill, place) in wards.extract_if(.., |(spill, _)| spill.is_done()).collect::<Vec<_>>() {
                intake.dismiss(&spill);
                spill.close().await;
                drop(place);
            }
        }
    }
}

fn adopt(place: Place, settings: &SpillSettings) -> Option<(Spill, Place)> {
    let settings = settings.at(place.directory.clone());
    match Spill::adopt(settings) {
        Ok(spill) => Some((spill, place)),
        Err(why) => {
            tracing::warn!(directory = %place.directory.display(), %why, "votes lie there, and cannot be passed on");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::InstanceId;

    fn numbers(taken: &[Place]) -> Vec<String> {
        taken.iter().map(|place| place.directory.file_name().expect("a name").to_str().expect("ASCII").to_owned()).collect()
    }

    /// As a process leaves it that was killed.
    fn leave_in(directory: &Path) {
        let settings = SpillSettings::spill(directory.to_owned(), 1 << 20, 0);
        drop(Spill::open(settings, InstanceId(Uuid::new_v4())).expect("a spill"));
    }

    #[test]
    fn each_process_takes_the_first_free_place_and_no_more_than_there_are() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let mut taken: Vec<Place> = (0..PLACES_MAX).map(|_| take_one(directory.path()).expect("a place")).collect();
        assert_eq!(numbers(&taken[..2]), ["spill-01", "spill-02"]);
        let refused = take_one(directory.path()).expect_err("all are taken").to_string();
        assert!(refused.contains("DATA_DIR") && refused.contains("64"), "{refused}");
        taken.remove(1);
        assert_eq!(numbers(&[take_one(directory.path()).expect("one is free again")]), ["spill-02"]);
    }

    #[test]
    fn a_place_with_something_left_in_it_is_taken_first_also_where_there_were_no_places_yet() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let taken: Vec<Place> = (0..3).map(|_| take_one(directory.path()).expect("a place")).collect();
        leave_in(&taken[1].directory);
        drop(taken);
        let second = take_one(directory.path()).expect("a place");
        assert_eq!(numbers(std::slice::from_ref(&second)), ["spill-02"]);
        leave_in(directory.path());
        let before = take_one(directory.path()).expect("a place");
        assert_eq!(before.directory, directory.path());
        assert_eq!(left_behind(directory.path()).len(), 0, "somebody works in both");
        drop((second, before));
        assert_eq!(left_behind(directory.path()).len(), 2);
    }
}
