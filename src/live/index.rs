//! The names of all events: codes and slugs to ids. A few dozen bytes each, so that a wrong code costs a lookup and no query.

use std::collections::HashMap;

use crate::domain::{EventId, JoinCode};
use crate::store::IndexEntry;

#[derive(Default)]
pub(super) struct Index {
    edition: u64,
    by_name: HashMap<String, EventId>,
    /// The newest edition of every event that is not deleted.
    editions: HashMap<EventId, u64>,
    slugs: HashMap<EventId, String>,
}

impl Index {
    /// The newest edit taken in.
    pub fn edition(&self) -> u64 {
        self.edition
    }

    pub fn find(&self, name: &str) -> Option<EventId> {
        match JoinCode::parse(name) {
            Some(code) => self.by_name.get(code.as_str()).copied(),
            None => self.by_name.get(&name.to_ascii_lowercase()).copied(),
        }
    }

    /// `None` when there is no such event, or it was deleted.
    pub fn edition_of(&self, id: EventId) -> Option<u64> {
        self.editions.get(&id).copied()
    }

    /// Entries come in the order of their editions.
    pub fn take_in(&mut self, entries: &[IndexEntry]) {
        for entry in entries {
            self.edition = self.edition.max(entry.edition);
            // Two reads may come in the wrong order; the older one has nothing to say.
            if self.editions.get(&entry.id).is_some_and(|known| *known > entry.edition) {
                continue;
            }
            if let Some(old) = self.slugs.remove(&entry.id)
                && self.by_name.get(&old) == Some(&entry.id)
            {
                self.by_name.remove(&old);
            }
            if entry.deleted {
                self.by_name.remove(&entry.code);
                self.editions.remove(&entry.id);
                continue;
            }
            self.editions.insert(entry.id, entry.edition);
            self.by_name.insert(entry.code.clone(), entry.id);
            if let Some(slug) = &entry.slug {
                self.by_name.insert(slug.clone(), entry.id);
                self.slugs.insert(entry.id, slug.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, slug: Option<&str>, edition: u64, deleted: bool) -> IndexEntry {
        IndexEntry { id: EventId(id), code: format!("10000{id}"), slug: slug.map(str::to_owned), edition, deleted }
    }

    #[test]
    fn a_short_name_moves_with_its_event_and_frees_up_when_it_goes() {
        let mut index = Index::default();
        index.take_in(&[entry(1, Some("final"), 1, false)]);
        assert_eq!((index.find("100 001"), index.find("FINAL")), (Some(EventId(1)), Some(EventId(1))));
        index.take_in(&[entry(1, None, 2, false), entry(2, Some("final"), 3, false)]);
        assert_eq!(index.find("final"), Some(EventId(2)));
        index.take_in(&[entry(2, Some("old"), 2, false)]);
        assert_eq!((index.find("final"), index.find("old")), (Some(EventId(2)), None), "an older read changes nothing");
        index.take_in(&[entry(2, None, 4, true)]);
        assert_eq!((index.find("final"), index.find("100002"), index.edition()), (None, None, 4));
    }
}
