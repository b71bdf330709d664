//! JSON shapes: of batches on the queue, of the live document, of requests and answers. The only place that spells a key.
//! No logic beyond turning domain types into shapes and back.

pub mod batch;
pub mod bundle;
pub mod document;
pub mod office;
pub mod rehearsal;
pub mod shown;
pub mod vote;

/// A choice id on its way out.
pub(crate) fn choice_id(poll: crate::domain::PollId, number: u16) -> String {
    crate::domain::ChoiceId { poll, number }.to_string()
}
