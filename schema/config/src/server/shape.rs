//! Reads a server into the type of its shape.
//!
//! Owns the choice by key while the map is read: nothing is collected if the key of the shape comes
//! first, as the compiler has it; otherwise what comes before it waits.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{HttpServer, ReplicatedServer, Server, StdioServer};

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByKey)
    }
}

struct ByKey;

impl<'de> Visitor<'de> for ByKey {
    type Value = Server;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a server")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Server, A::Error> {
        let mut before = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some(shape) = Server::SHAPES.into_iter().find(|shape| *shape == key) else {
                before.push((key, map.next_value::<Value>()?));
                continue;
            };
            let entries = MapAccessDeserializer::new(Entries {
                shape: Some(shape),
                before: before.into_iter(),
                waiting: None,
                rest: map,
            });
            return match shape {
                "command" => StdioServer::deserialize(entries).map(Server::Stdio),
                "url" => HttpServer::deserialize(entries).map(Server::Http),
                _ => ReplicatedServer::deserialize(entries).map(Server::Replicated),
            };
        }
        Err(A::Error::custom(
            "a server has `command`, `url` or `replicas`",
        ))
    }
}

/// The entries of a server, that of its shape first.
struct Entries<A> {
    /// The key of the shape, whose value comes next in `rest`.
    shape: Option<&'static str>,
    /// What came before that key.
    before: std::vec::IntoIter<(String, Value)>,
    /// The value of the key that was handed out last, if it came before.
    waiting: Option<Value>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        if let Some(shape) = self.shape.take() {
            return seed.deserialize(shape.into_deserializer()).map(Some);
        }
        if let Some((key, value)) = self.before.next() {
            self.waiting = Some(value);
            return seed.deserialize(key.into_deserializer()).map(Some);
        }
        self.rest.next_key_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.waiting.take() {
            Some(value) => seed.deserialize(value).map_err(A::Error::custom),
            None => self.rest.next_value_seed(seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_shape_may_come_last() {
        let read = serde_json::from_str::<Server>;
        let first = read(r#"{"url":"http://h","era":"legacy","headers":{"A":"b"}}"#);
        let last = read(r#"{"era":"legacy","headers":{"A":"b"},"url":"http://h"}"#);
        assert!(matches!(first, Ok(Server::Http(_))), "{first:?}");
        assert_eq!(first.ok(), last.ok());
        for text in [
            r#"{"era":"legacy"}"#,
            r#"{"url":"http://h","command":"x"}"#,
            "[]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
