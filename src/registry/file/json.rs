//! TOML as JSON, which is what schemas judge and plugins read.

use serde_json::{Map, Number, Value};
use toml_edit::{Item, Value as Toml};

/// An object of the items that have a value.
pub(crate) fn object<'t>(items: impl Iterator<Item = (&'t str, &'t Item)>) -> Map<String, Value> {
    items.filter_map(|(name, item)| Some((name.to_owned(), self::item(item)?))).collect()
}

fn item(item: &Item) -> Option<Value> {
    match item {
        Item::None => None,
        Item::Value(one) => Some(value(one)),
        Item::Table(table) => Some(object(table.iter()).into()),
        Item::ArrayOfTables(tables) => Some(tables.iter().map(|table| Value::from(object(table.iter()))).collect()),
    }
}

fn value(value: &Toml) -> Value {
    match value {
        Toml::String(text) => Value::from(text.value().as_str()),
        Toml::Integer(number) => Value::from(*number.value()),
        Toml::Float(number) => Number::from_f64(*number.value()).map_or(Value::Null, Value::Number),
        Toml::Boolean(truth) => Value::from(*truth.value()),
        Toml::Datetime(time) => Value::from(time.value().to_string()),
        Toml::Array(values) => values.iter().map(self::value).collect(),
        Toml::InlineTable(table) => {
            table.iter().map(|(name, inner)| (name.to_owned(), self::value(inner))).collect::<Map<_, _>>().into()
        }
    }
}
