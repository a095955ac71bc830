//! The three shapes of a server, and which of them a map has.
//!
//! Owns the choice where a server has no shape or several: its other keys are then judged by the
//! shape that its nearest key suggests, or by all shapes that it may have.

use std::sync::Arc;

use mcpc_config::Server;

use super::{MapForm, Schema};
use crate::suggest::{nearest, synonym};
use crate::tree::Map;

/// How many shapes there are.
pub(super) const SHAPES: usize = Server::SHAPES.len();

/// The forms of a server.
#[derive(Debug)]
pub(crate) struct Servers {
    /// One for each of [`Server::SHAPES`].
    shapes: [MapForm; SHAPES],
    /// What any shape knows, by the set of shapes: bit `n` stands for shape `n`.
    unions: Vec<MapForm>,
}

impl Servers {
    pub(super) fn new(shapes: [MapForm; SHAPES]) -> Self {
        let unions = (0..1_usize << SHAPES).map(|set| {
            let members = shapes.iter().enumerate();
            let members = members.filter(|(index, _)| set & (1 << index) != 0);
            union(members.map(|(_, form)| form))
        });
        let unions = unions.collect();
        Self { shapes, unions }
    }

    /// What may be in a server with these keys.
    pub(crate) fn form(&self, map: &Map) -> &MapForm {
        let mut shapes = Server::SHAPES.iter().enumerate();
        let present = shapes.clone().filter(|(_, key)| map.get(key).is_some());
        let present: usize = present.map(|(index, _)| 1 << index).sum();
        let set = if present != 0 {
            present
        } else if let Some((index, _)) =
            meant(map).and_then(|meant| shapes.find(|(_, key)| **key == meant))
        {
            1 << index
        } else {
            (1 << SHAPES) - 1
        };
        self.of_set(set)
    }

    /// The key of the shape as which a server is read, whatever is wrong with it, and its form.
    pub(crate) fn read_as(&self, map: &Map) -> (&'static str, &MapForm) {
        let shapes = || Server::SHAPES.into_iter().zip(&self.shapes);
        let known = |form: &MapForm| {
            let entries = map.entries().iter();
            entries
                .filter(|entry| form.property(&entry.key).is_some())
                .count()
        };
        let by_key = shapes().find(|(key, _)| map.get(key).is_some());
        let by_meant = || {
            let meant = meant(map)?;
            shapes().find(|(key, _)| *key == meant)
        };
        // Of shapes that know as many of the keys, the first.
        let by_keys = || shapes().rev().max_by_key(|(_, form)| known(form));
        let [first, ..] = &self.shapes;
        by_key
            .or_else(by_meant)
            .or_else(by_keys)
            .unwrap_or((Server::SHAPES[0], first))
    }

    /// The shape that has a key.
    pub(crate) fn shape_with(&self, key: &str) -> Option<&'static str> {
        let mut shapes = Server::SHAPES.into_iter().zip(&self.shapes);
        shapes.find_map(|(shape, form)| form.property(key).map(|_| shape))
    }

    fn of_set(&self, set: usize) -> &MapForm {
        let [first, ..] = &self.shapes;
        match set {
            1 => first,
            set => self.unions.get(set).unwrap_or(first),
        }
    }
}

/// The shape whose key is misspelt or has the name that another tool gives it.
fn meant(map: &Map) -> Option<&'static str> {
    map.entries()
        .iter()
        .find_map(|entry| match synonym(&entry.key) {
            Some(synonym) => Some(synonym).filter(|key| Server::SHAPES.contains(key)),
            None => nearest(&entry.key, Server::SHAPES),
        })
}

/// What any of the forms knows. With one form its required keys stay required.
fn union<'a>(forms: impl Iterator<Item = &'a MapForm>) -> MapForm {
    let mut union = MapForm::default();
    for (count, form) in forms.enumerate() {
        for (name, schema) in &form.properties {
            if union.property(name).is_none() {
                union
                    .properties
                    .push((name.clone(), Arc::<Schema>::clone(schema)));
            }
        }
        union.required = if count == 0 {
            form.required.clone()
        } else {
            Vec::new()
        };
    }
    union
}
