//! Functions that SQL may call.

use proptest::prelude::*;

use super::*;

const ALL: &str = "SELECT trim(?1, ?2), ltrim(?1, ?2), rtrim(?1, ?2), replace(?1, ?2, ?3), instr(?1, ?2)";

fn answers(connection: &Connection, args: &[Value; 3]) -> Vec<Value> {
    let row = |row: &rusqlite::Row<'_>| (0..5).map(|index| row.get(index)).collect();
    connection.query_row(ALL, rusqlite::params_from_iter(args), row).unwrap()
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i16>().prop_map(|n| Value::Integer(n.into())),
        any::<i16>().prop_map(|n| Value::Real(f64::from(n) / 8.0)),
        "[abä€ ]{0,6}".prop_map(Value::Text),
        "[ab]{0,4}".prop_map(|text| Value::Blob(text.into_bytes())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn answers_are_those_of_sqlite(args in [value(), value(), value()]) {
        let (own, sqlite) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        install(&own).unwrap();
        prop_assert_eq!(answers(&own, &args), answers(&sqlite, &args));
    }
}

#[test]
fn what_takes_sqlite_an_hour_takes_no_time() {
    let connection = Connection::open_in_memory().unwrap();
    install(&connection).unwrap();
    let many = |letter: &str| Value::Text(letter.repeat(1_000_000));
    let set = Value::Text(format!("{}a", "b".repeat(1_000_000)));
    let sql = "SELECT length(trim(?1, ?2)), instr(?1, ?2), length(replace(?1, ?2, ''))";
    let row: (i64, i64, i64) = connection
        .query_row(sql, [many("a"), set], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    assert_eq!(row, (0, 0, 1_000_000));
    let huge = connection.query_row("SELECT replace(?1, 'a', ?1)", [many("a")], |_| Ok(())).unwrap_err();
    assert!(huge.to_string().contains("too big"), "{huge}");
}

#[test]
fn nothing_to_replace_is_the_text_itself() {
    let connection = Connection::open_in_memory().unwrap();
    install(&connection).unwrap();
    let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Value>(0)).unwrap();
    assert_eq!(ask("SELECT replace('a', '', NULL)"), Value::Text("a".into()));
    assert_eq!(ask("SELECT replace('a', 'a', NULL)"), Value::Null);
}
