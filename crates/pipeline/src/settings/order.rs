//! The order in which settings are declared, which a JSON Schema does not keep.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Names of the keys of each table, by the path of the table.
pub(super) type KeyOrder = BTreeMap<String, Vec<String>>;

/// The order of keys in which a value is written.
pub(super) fn key_order<T: Serialize>(value: &T) -> KeyOrder {
    let mut order = KeyOrder::new();
    let text = serde_json::to_string(value).unwrap_or_default();
    if let Ok(tree) = serde_json::from_str::<Tree>(&text) {
        tree.collect("", &mut order);
    }
    order
}

/// The keys of a JSON value, in the order of its text.
struct Tree(Vec<(String, Tree)>);

impl Tree {
    fn collect(&self, path: &str, order: &mut KeyOrder) {
        if self.0.is_empty() {
            return;
        }
        order.insert(path.to_owned(), self.0.iter().map(|(key, _)| key.clone()).collect());
        for (key, inner) in &self.0 {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            inner.collect(&path, order);
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        while seq.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Tree(Vec::new()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree(Vec::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree(Vec::new()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree(Vec::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree(Vec::new()))
    }

    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree(Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree(Vec::new()))
    }
}
