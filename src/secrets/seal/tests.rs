//! What is sealed opens with the same key in the same place, and in no other way.

use proptest::prelude::*;

use super::*;

const PLACE: Place<'_> = Place { table: "secrets", row: "name", column: "sealed", version: 1 };

proptest! {
    #[test]
    fn what_is_sealed_opens(value in proptest::collection::vec(any::<u8>(), 0..2000), row in ".{0,20}", version: i64) {
        let key = DataKey::random(7).unwrap();
        let place = Place { row: &row, version, ..PLACE };
        let sealed = key.seal(&place, &Secret::new(value.clone())).unwrap();
        let opened = key.open(&place, &sealed).unwrap();
        prop_assert_eq!(opened.expose(), value.as_slice());
        prop_assert!(value.len() < 8 || !sealed.windows(value.len()).any(|window| window == value));
    }

    #[test]
    fn a_changed_byte_is_noticed(value in proptest::collection::vec(any::<u8>(), 0..100), at: prop::sample::Index, flip in 1_u8..) {
        let (master, key) = (MasterKey::random().unwrap(), DataKey::random(7).unwrap());
        let mut sealed = key.seal(&PLACE, &Secret::new(value)).unwrap();
        let at_sealed = at.index(sealed.len());
        sealed[at_sealed] ^= flip;
        let error = key.open(&PLACE, &sealed).unwrap_err();
        prop_assert_eq!(matches!(error, SealError::OtherKey { .. }), at_sealed < ID_BYTES);
        let mut wrapped = master.wrap(&key).unwrap();
        let at_wrapped = at.index(wrapped.len());
        wrapped[at_wrapped] ^= flip;
        let error = master.unwrap(7, &wrapped).unwrap_err();
        prop_assert_eq!(matches!(error, SealError::OtherKey { .. }), at_wrapped < ID_BYTES);
    }

    #[test]
    fn another_place_does_not_open_it(
        (table, row, column, version) in ("a{0,2}", "a{0,2}", "a{0,2}", 0_i64..3),
        (table2, row2, column2, version2) in ("a{0,2}", "a{0,2}", "a{0,2}", 0_i64..3),
    ) {
        let key = DataKey::random(7).unwrap();
        let place = Place { table: &table, row: &row, column: &column, version };
        let other = Place { table: &table2, row: &row2, column: &column2, version: version2 };
        let same = (&table, &row, &column, version) == (&table2, &row2, &column2, version2);
        let sealed = key.seal(&place, &Secret::new("value")).unwrap();
        prop_assert_eq!(key.open(&other, &sealed).is_ok(), same);
    }

    #[test]
    fn what_is_cut_off_is_noticed(value in proptest::collection::vec(any::<u8>(), 0..100), at: prop::sample::Index) {
        let key = DataKey::random(7).unwrap();
        let sealed = key.seal(&PLACE, &Secret::new(value)).unwrap();
        let length = at.index(sealed.len());
        let error = key.open(&PLACE, &sealed[..length]).unwrap_err();
        let least = ID_BYTES + NONCE_BYTES + TAG_BYTES;
        prop_assert_eq!(error, if length < least { SealError::Truncated } else { SealError::Tampered });
    }
}

#[test]
fn another_key_does_not_open_it() {
    let (key, twin, other) = (DataKey::random(7).unwrap(), DataKey::random(7).unwrap(), DataKey::random(8).unwrap());
    let sealed = key.seal(&PLACE, &Secret::new("value")).unwrap();
    assert_eq!(twin.open(&PLACE, &sealed).unwrap_err(), SealError::Tampered);
    assert!(matches!(other.open(&PLACE, &sealed).unwrap_err(), SealError::OtherKey { .. }));
    let (master, other) = (MasterKey::random().unwrap(), MasterKey::random().unwrap());
    let wrapped = master.wrap(&key).unwrap();
    assert_eq!(master.unwrap(8, &wrapped).unwrap_err(), SealError::Tampered);
    let error = other.unwrap(7, &wrapped).unwrap_err();
    assert_eq!(error, SealError::OtherKey { expected: master.id(), given: other.id() });
    assert_eq!(master.unwrap(7, &wrapped).unwrap().open(&PLACE, &sealed).unwrap().expose(), b"value");
}

#[test]
fn the_same_value_is_never_sealed_alike() {
    let key = DataKey::random(7).unwrap();
    let sealed: std::collections::HashSet<_> =
        (0..100).map(|_| key.seal(&PLACE, &Secret::new("value")).unwrap()).collect();
    assert_eq!(sealed.len(), 100);
}

#[test]
fn keys_do_not_show_themselves() {
    let master = MasterKey::from_slice(&[7; KEY_BYTES]).unwrap();
    assert_eq!(format!("{master:?}"), format!("MasterKey({})", master.id()));
    assert_eq!(format!("{:?}", DataKey::random(7).unwrap()), "DataKey(7)");
    // The id is part of the stored form: it must never change.
    assert_eq!(master.id().to_string(), "0b123a51b8e316c4");
    assert!(MasterKey::from_slice(&[7; KEY_BYTES - 1]).is_none());
}
