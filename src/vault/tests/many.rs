//! Many secrets read together.

use super::*;

#[tokio::test]
async fn many_secrets_are_read_together_and_what_cannot_be_opened_is_left_out() {
    let place = Place::new().await;
    let vault = place.vault().await;
    let names: Vec<String> = (0..300).map(|number| format!("name-{number:03}")).collect();
    for name in &names {
        put(&vault, name, &format!("value-of-{name}")).await;
    }
    place.run(Query::new("UPDATE secrets SET sealed = ? WHERE name = 'name-007'").bind(&b"damaged"[..])).await;
    let asked: Vec<&str> = names.iter().map(String::as_str).chain(["nobody"]).collect();
    let found = vault.get_many(&asked).await.unwrap();
    assert_eq!(found.len(), 299);
    assert!(found.iter().all(|(name, secret)| secret.expose() == format!("value-of-{name}").as_bytes()));
    assert!(!found.contains_key("name-007"));
    assert!(vault.get_many(&[]).await.unwrap().is_empty());
}
