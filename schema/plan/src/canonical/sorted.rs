//! JSON with the members of every object in order, written in one go.
//!
//! Owns the sorting of members after the last of an object is written, in the buffer itself: a tree
//! of values in between would cost several times the memory and time of the bytes. What is in order
//! already stays where it is. Escapes and digits are left to `serde_json`, which writes them as
//! RFC 8785 wants them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

/// The bytes of a value, without the member `omitted` of the outermost object. Fails for numbers
/// that are not integers.
pub(super) fn bytes<T: Serialize>(value: &T, omitted: Option<&str>) -> io::Result<Vec<u8>> {
    let mut page = Page {
        omitted: omitted.map(|key| format!("\"{key}\"")),
        ..Page::default()
    };
    // All bytes go to the page; the writer of the serializer stays empty.
    let mut serializer = Serializer::with_formatter(io::sink(), Sorted(&mut page));
    value.serialize(&mut serializer)?;
    Ok(page.out)
}

/// What is written so far.
#[derive(Default)]
struct Page {
    out: Vec<u8>,
    open: Vec<Object>,
    /// The members of all objects that are not closed yet, those of the innermost last.
    members: Vec<Member>,
    /// Where the members of an object are put in order, kept for the next object.
    sorted: Vec<u8>,
    /// A key in its written form.
    omitted: Option<String>,
}

/// An object that is not closed yet.
#[derive(Clone, Copy)]
struct Object {
    /// Where its first member starts.
    start: usize,
    /// Its first member in [`Page::members`].
    first: usize,
}

/// A member: where it starts, where its key ends, and where it ends once its object is closed.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
}

impl Page {
    fn begin_object(&mut self) {
        self.out.push(b'{');
        self.open.push(Object {
            start: self.out.len(),
            first: self.members.len(),
        });
    }

    fn begin_member(&mut self) {
        let before = self.out.len();
        if self.open.last().is_some_and(|object| object.start < before) {
            self.out.push(b',');
            self.end_member(before);
        }
        let start = self.out.len();
        self.members.push(Member {
            start,
            key_end: start,
            end: start,
        });
    }

    fn end_key(&mut self) {
        if let Some(member) = self.members.last_mut() {
            member.key_end = self.out.len();
        }
    }

    fn end_member(&mut self, end: usize) {
        if let Some(member) = self.members.last_mut() {
            member.end = end;
        }
    }

    fn end_object(&mut self) {
        let Some(Object { start, first }) = self.open.pop() else {
            return;
        };
        if self.members.len() > first {
            self.end_member(self.out.len());
        }
        let is_whole = !(self.open.is_empty() && self.omit());
        let out = &self.out;
        let members = self.members.get_mut(first..).unwrap_or_default();
        let order = |a: &Member, b: &Member| compare(a.key(out), b.key(out));
        if !is_whole || !members.is_sorted_by(|a, b| order(a, b).is_le()) {
            members.sort_by(order);
            self.rewrite(start, first);
        }
        self.members.truncate(first);
        self.out.push(b'}');
    }

    /// Writes the members of the innermost object anew, in the order in which they are noted.
    fn rewrite(&mut self, start: usize, first: usize) {
        self.sorted.clear();
        for member in self.members.get(first..).unwrap_or_default() {
            if !self.sorted.is_empty() {
                self.sorted.push(b',');
            }
            let written = self.out.get(member.start..member.end);
            self.sorted.extend_from_slice(written.unwrap_or_default());
        }
        self.out.truncate(start);
        self.out.extend_from_slice(&self.sorted);
    }

    /// Takes the omitted member out of the outermost object, if it is there.
    fn omit(&mut self) -> bool {
        let Some(omitted) = self.omitted.as_ref().map(String::as_bytes) else {
            return false;
        };
        let (out, before) = (&self.out, self.members.len());
        self.members.retain(|member| member.key(out) != omitted);
        self.members.len() < before
    }
}

impl Member {
    /// Its key in its written form.
    fn key(self, out: &[u8]) -> &[u8] {
        out.get(self.start..self.key_end).unwrap_or_default()
    }
}

/// The order of two written keys: that of their UTF-16 code units (RFC 8785 §3.2.3).
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    match (plain(a), plain(b)) {
        (Some(a), Some(b)) => a.cmp(b),
        _ => text(a).encode_utf16().cmp(text(b).encode_utf16()),
    }
}

/// What stands between the quotes, if bytes are code units there: nearly every key is like that.
fn plain(written: &[u8]) -> Option<&[u8]> {
    let inside = written.get(1..written.len().checked_sub(1)?)?;
    let is_plain = inside.iter().all(|byte| byte.is_ascii() && *byte != b'\\');
    is_plain.then_some(inside)
}

/// The text of a key as it was before it was written.
fn text(written: &[u8]) -> Cow<'_, str> {
    let inside = written.get(1..written.len().saturating_sub(1));
    let inside = inside.and_then(|inside| std::str::from_utf8(inside).ok());
    match inside.filter(|inside| !inside.contains('\\')) {
        Some(inside) => Cow::Borrowed(inside),
        None => Cow::Owned(serde_json::from_slice(written).unwrap_or_default()),
    }
}

/// Writes to a page instead of to the writer that it is given.
struct Sorted<'a>(&'a mut Page);

/// Methods that write what the compact form writes, to the page.
macro_rules! as_compact {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $name<W: ?Sized + Write>(&mut self, _: &mut W $(, $argument: $type)*) -> io::Result<()> {
            CompactFormatter.$name(&mut self.0.out $(, $argument)*)
        }
    )*};
}

impl Formatter for Sorted<'_> {
    as_compact! {
        write_null();
        write_bool(value: bool);
        write_i8(value: i8);
        write_i16(value: i16);
        write_i32(value: i32);
        write_i64(value: i64);
        write_u8(value: u8);
        write_u16(value: u16);
        write_u32(value: u32);
        write_u64(value: u64);
        begin_string();
        end_string();
        write_string_fragment(fragment: &str);
        write_char_escape(escape: CharEscape);
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object_value();
        end_object_value();
    }

    fn write_f32<W: ?Sized + Write>(&mut self, _: &mut W, _: f32) -> io::Result<()> {
        Err(ErrorKind::InvalidData.into())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, _: &mut W, _: f64) -> io::Result<()> {
        Err(ErrorKind::InvalidData.into())
    }

    fn write_i128<W: ?Sized + Write>(&mut self, _: &mut W, _: i128) -> io::Result<()> {
        Err(ErrorKind::InvalidData.into())
    }

    fn write_u128<W: ?Sized + Write>(&mut self, _: &mut W, _: u128) -> io::Result<()> {
        Err(ErrorKind::InvalidData.into())
    }

    fn write_number_str<W: ?Sized + Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        Err(ErrorKind::InvalidData.into())
    }

    /// What is written elsewhere may be in any order.
    fn write_raw_fragment<W: ?Sized + Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        Err(ErrorKind::InvalidData.into())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.begin_object();
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.end_object();
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, _: &mut W, _: bool) -> io::Result<()> {
        self.0.begin_member();
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.end_key();
        Ok(())
    }
}
