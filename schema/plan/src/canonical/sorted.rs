//! JSON with the members of every object in order, written in one go.
//!
//! Owns the sorting of members after the last of an object is written, in the buffer itself: a tree
//! of values in between would cost several times the memory and time of the bytes. Escapes and
//! digits are left to `serde_json`, which writes them as RFC 8785 wants them.

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
        out: Vec::new(),
        open: Vec::new(),
        omitted: omitted.map(|key| format!("\"{key}\"")),
    };
    // All bytes go to the page; the writer of the serializer stays empty.
    let mut serializer = Serializer::with_formatter(io::sink(), Sorted(&mut page));
    value.serialize(&mut serializer)?;
    Ok(page.out)
}

/// What is written so far.
struct Page {
    out: Vec<u8>,
    open: Vec<Object>,
    /// A key in its written form.
    omitted: Option<String>,
}

/// An object that is not closed yet.
struct Object {
    start: usize,
    members: Vec<Member>,
}

/// Where a member starts, and where its key ends.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    key_end: usize,
}

impl Page {
    fn begin_member(&mut self) {
        let start = self.out.len();
        if let Some(object) = self.open.last_mut() {
            object.members.push(Member {
                start,
                key_end: start,
            });
        }
    }

    fn end_key(&mut self) {
        let end = self.out.len();
        let object = self.open.last_mut();
        if let Some(member) = object.and_then(|object| object.members.last_mut()) {
            member.key_end = end;
        }
    }

    /// Replaces the members of the innermost object, which stand there one after the other, by the
    /// object with its members in order.
    fn close(&mut self) {
        let Some(Object { start, members }) = self.open.pop() else {
            return;
        };
        let is_outermost = self.open.is_empty();
        let omitted = self.omitted.as_ref().map(String::as_bytes);
        let ends = members.iter().skip(1).map(|next| next.start);
        let ends = ends.chain([self.out.len()]);
        let slice = |from: usize, to: usize| self.out.get(from..to).unwrap_or_default();
        let mut sorted: Vec<(&[u8], &[u8])> = members
            .iter()
            .zip(ends)
            .map(|(member, end)| {
                let key = slice(member.start, member.key_end);
                (key, slice(member.start, end))
            })
            .filter(|(key, _)| !is_outermost || omitted != Some(*key))
            .collect();
        sorted.sort_by(|(a, _), (b, _)| compare(a, b));
        let mut object = Vec::with_capacity(self.out.len() - start + members.len() + 2);
        object.push(b'{');
        for (index, (_, member)) in sorted.into_iter().enumerate() {
            if index > 0 {
                object.push(b',');
            }
            object.extend_from_slice(member);
        }
        object.push(b'}');
        self.out.truncate(start);
        self.out.extend_from_slice(&object);
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
        let start = self.0.out.len();
        let members = Vec::new();
        self.0.open.push(Object { start, members });
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.close();
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
