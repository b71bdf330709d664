//! Who may edit, and what all processes of an installation know alike: the first owner, sessions, secrets.

use groundswell::domain::{AccountId, Email};

use crate::craft::{NOON, number, refusal, with_store};
use crate::on_both;
use crate::support::Backend;

on_both![the_first_owner_is_the_only_first_owner, a_session_lasts_until_it_ends, two_stores_agree_on_a_secret];

fn the_first_owner_is_the_only_first_owner(backend: Backend) {
    with_store(backend, async |_, store| {
        assert!(!store.has_account().await.unwrap());
        let create = |n: i64| store.create_owner(AccountId(n), Email::parse(&format!("{n}@example.org")).unwrap(), format!("hash {n}"), NOON);
        let made: Vec<_> = futures_util::future::join_all((1..=8).map(create)).await;
        let (owners, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
        assert_eq!((owners.len(), refused.len()), (1, 7));
        refused.into_iter().for_each(|r| assert_eq!(refusal(r), "already_set_up"));
        let owner = owners.into_iter().next().unwrap().unwrap();
        let (found, hash) = store.account_by_email(Email::parse(&owner.email).unwrap()).await.unwrap().unwrap();
        assert_eq!((found.id, hash), (owner.id, format!("hash {}", owner.id.0)));
        assert!(store.has_account().await.unwrap());
    });
}

fn a_session_lasts_until_it_ends(backend: Backend) {
    with_store(backend, async |place, store| {
        let owner = store.create_owner(AccountId(1), Email::parse("ada@example.org").unwrap(), "hash".into(), NOON).await.unwrap();
        store.create_session(owner.id, [1; 32], NOON, NOON + 1_000).await.unwrap();
        let who = async |token: u8, now| store.account_of_session([token; 32], now).await;
        assert_eq!(who(1, NOON + 999).await.unwrap().id, owner.id);
        assert_eq!(refusal(who(1, NOON + 1_000).await), "not_signed_in");
        assert_eq!(refusal(who(2, NOON).await), "not_signed_in");
        store.create_session(owner.id, [2; 32], NOON + 5_000, NOON + 9_000).await.unwrap();
        assert_eq!(number(place, "select count(*) from session").await, 1, "expired ones are swept");
        store.delete_session([2; 32]).await.unwrap();
        assert_eq!(refusal(who(2, NOON + 5_000).await), "not_signed_in");
    });
}

fn two_stores_agree_on_a_secret(backend: Backend) {
    with_store(backend, async |place, store| {
        let other = place.store().await;
        for name in ["pass_key", "setup_token", "lanes"] {
            let (one, two) = tokio::join!(store.secret(name, vec![1; 32]), other.secret(name, vec![2; 32]));
            assert_eq!(one.unwrap(), two.unwrap());
            assert_eq!(store.secret(name, vec![3; 32]).await.unwrap(), other.secret(name, vec![4; 32]).await.unwrap());
        }
        other.close().await;
    });
}
