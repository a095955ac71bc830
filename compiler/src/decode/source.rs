//! The tree as something that serde can read the configuration types from.
//!
//! Owns one reader that walks tree and schema together, without a copy of either in between. It
//! passes over what is broken and over keys that do not exist. Where the types cannot do without a
//! value, it gives them a neutral one: `broken` in [`Decoded`](super::Decoded) says that nothing is
//! known there.

use std::collections::BTreeSet;

use serde::Deserializer;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::schema::{Kind, MapForm, Schema};
use crate::tree::{Content, Map, NodeId, Tree};

/// A value on its way from the tree into a type.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) tree: &'a Tree,
    pub(super) broken: &'a BTreeSet<NodeId>,
    pub(super) schema: &'static Schema,
    /// Where the value stands; nothing if a neutral one is needed.
    pub(super) node: Option<NodeId>,
}

impl<'a> Reader<'a> {
    fn below(self, schema: &'static Schema, node: Option<NodeId>) -> Self {
        Self {
            schema,
            node,
            ..self
        }
    }

    /// The sound entries of a map, and neutral ones for what it has to have.
    fn entries(self, map: Option<&'a Map>, form: &'static MapForm) -> Vec<(&'a str, Self)> {
        let written = map.map(Map::entries).unwrap_or_default();
        let mut entries = Vec::with_capacity(written.len());
        for entry in written {
            if form.is_anchor(&entry.key) || self.broken.contains(&entry.value) {
                continue;
            }
            if let Some(schema) = form.property(&entry.key) {
                entries.push((&*entry.key, self.below(schema, Some(entry.value))));
            }
        }
        for key in &form.required {
            let is_there = entries.iter().any(|(name, _)| **name == **key);
            if let Some(schema) = form.property(key).filter(|_| !is_there) {
                entries.push((key, self.below(schema, None)));
            }
        }
        entries
    }

    /// The entries of a server. The key of its shape comes first: the type is chosen by it.
    fn server_entries(
        self,
        map: &'a Map,
        (shape, form): (&str, &'static MapForm),
    ) -> Vec<(&'a str, Self)> {
        let mut entries = self.entries(Some(map), form);
        if let Some(at) = entries.iter().position(|(key, _)| *key == shape) {
            entries.swap(0, at);
        }
        entries
    }

    fn map(self) -> Option<&'a Map> {
        self.tree.map(self.node?)
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let content = self.node.map(|node| self.tree.content(node));
        match (self.schema, content) {
            (Schema::Map(form), _) => {
                let entries = self.entries(self.map(), form);
                visitor.visit_map(MapDeserializer::new(entries.into_iter()))
            }
            (Schema::Server(servers), Some(Content::Map(map))) => {
                let entries = self.server_entries(map, servers.read_as(map));
                visitor.visit_map(MapDeserializer::new(entries.into_iter()))
            }
            (Schema::List(form), Some(Content::List(items))) => {
                let items = items
                    .iter()
                    .map(|item| self.below(&form.items, Some(*item)));
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            (Schema::List(_), _) => {
                visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<Self>()))
            }
            (_, Some(Content::Text(text))) => visitor.visit_borrowed_str(text),
            (_, Some(Content::Integer(number))) => visitor.visit_i64(*number),
            (_, Some(Content::Float(number))) => match super::whole(*number) {
                Some(number) => visitor.visit_i64(number),
                None => visitor.visit_f64(*number),
            },
            (_, Some(Content::Bool(value))) => visitor.visit_bool(*value),
            (Schema::Text(form), None) => match form.choices.first() {
                Some(choice) => visitor.visit_str(choice),
                None => visitor.visit_str(neutral_text(form.kind)),
            },
            (Schema::Integer(form), None) => visitor.visit_i64(form.min),
            (Schema::Boolean, None) => visitor.visit_bool(false),
            _ => visitor.visit_unit(),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let written = match self.node.map(|node| self.tree.content(node)) {
            Some(Content::Text(text)) => Some(text),
            _ => None,
        };
        match (written, self.schema) {
            (Some(text), _) => visitor.visit_enum((&**text).into_deserializer()),
            (None, Schema::Text(form)) => {
                let choice = form.choices.first().map_or("", |choice| &**choice);
                visitor.visit_enum(choice.into_deserializer())
            }
            _ => visitor.visit_enum("".into_deserializer()),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Reader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A text that its type takes.
const fn neutral_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Plain | Kind::Secret => "",
        Kind::Duration => "1s",
        Kind::Size => "1B",
        Kind::Rate => "1/s",
        Kind::Percent => "0%",
        Kind::Address => "127.0.0.1:0",
        Kind::Url => "http://localhost",
        Kind::Glob => "*",
        Kind::Host => "localhost",
    }
}
