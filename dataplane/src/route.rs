//! Picks the upstream of a call, and puts the upstream's own names in.
//!
//! Owns turning what a call names into a member and its own name: for tools and prompts by one look-up in the
//! plan, for resources by what lists have told (`directory`), for methods of extensions by what servers say of
//! themselves (`extension`). Params are changed where they name what a client knows by another name, or
//! declare what the member must not be told. Does not decide permission (`policy`).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::directory;
use crate::extension;
use crate::json;
use crate::params::Params;
use crate::reply::LocalReply;
use crate::snapshot::{Served, ServedMember};

/// Where a call goes.
pub(crate) struct Route<'a> {
    /// The member that owns the name.
    pub(crate) member: &'a ServedMember,
    /// What `Mcp-Name` says towards the upstream.
    pub(crate) name: Option<Bytes>,
}

/// Finds the member of a call and renames in `params` what must be renamed.
pub(crate) async fn find<'a>(
    served: &'a Arc<Served>,
    method: &[u8],
    params: &mut Params,
) -> Result<Route<'a>, LocalReply> {
    match method {
        b"tools/call" => {
            let route = by_name(served, method, params)?;
            if extension::says_too_much(served, params) {
                Box::pin(extension::narrow(served, route.member, params)).await;
            }
            Ok(route)
        }
        b"prompts/get" => by_name(served, method, params),
        b"resources/read" => {
            let uri = params.uri().ok_or(LocalReply::BadParams)?;
            let member = by_uri(served, &uri).await?;
            Ok(Route {
                member,
                name: Some(uri),
            })
        }
        b"completion/complete" => by_reference(served, params).await,
        // No server is asked for what cannot stand in `Mcp-Method`, which mirrors the method as it is
        // (2026-07-28 Streamable HTTP): the fault would be taken for the server's.
        _ if !method.iter().all(|byte| matches!(byte, b' '..=b'~')) => {
            Err(LocalReply::UnknownMethod)
        }
        // A method that this build does not know belongs to an extension.
        _ => {
            let owner = Box::pin(extension::owner(served, method)).await;
            Ok(Route {
                member: owner.ok_or(LocalReply::UnknownMethod)?,
                name: params.task_id(),
            })
        }
    }
}

fn by_name<'a>(
    served: &'a Served,
    method: &[u8],
    params: &mut Params,
) -> Result<Route<'a>, LocalReply> {
    let exposed = params.name().ok_or(LocalReply::BadParams)?;
    let text = std::str::from_utf8(&exposed).map_err(|_| LocalReply::BadParams)?;
    let (member, name) = if method == b"tools/call" {
        served.tool(text).ok_or(LocalReply::UnknownTool)?
    } else {
        served.prompt(text).ok_or(LocalReply::UnknownPrompt)?
    };
    let name = if name == text {
        exposed
    } else {
        params.rename(name);
        Bytes::copy_from_slice(name.as_bytes())
    };
    Ok(Route {
        member,
        name: Some(name),
    })
}

async fn by_uri<'a>(served: &'a Arc<Served>, uri: &[u8]) -> Result<&'a ServedMember, LocalReply> {
    let uri = std::str::from_utf8(uri).map_err(|_| LocalReply::BadParams)?;
    let found = directory::find(served, uri).await;
    found.ok_or_else(|| LocalReply::UnknownResource {
        uri: uri.to_owned(),
    })
}

/// A completion names a prompt or a resource template inside of `ref`.
async fn by_reference<'a>(
    served: &'a Arc<Served>,
    params: &mut Params,
) -> Result<Route<'a>, LocalReply> {
    let reference = params.reference().ok_or(LocalReply::BadParams)?;
    let parts = Reference::read(&reference).ok_or(LocalReply::BadParams)?;
    match parts {
        Reference::Prompt { name, range } => {
            let (member, own) = served.prompt(&name).ok_or(LocalReply::UnknownPrompt)?;
            if own != name {
                params.rename_in_reference(&range, own);
            }
            Ok(Route { member, name: None })
        }
        Reference::Resource { uri } => Ok(Route {
            member: by_uri(served, uri.as_bytes()).await?,
            name: None,
        }),
    }
}

enum Reference {
    Prompt { name: String, range: Range<usize> },
    Resource { uri: String },
}

impl Reference {
    fn read(raw: &Bytes) -> Option<Self> {
        let (mut kind, mut name, mut uri) = (None, None, None);
        let text = |range: &Range<usize>| {
            raw.get(range.clone())
                .and_then(json::text)
                .map(std::borrow::Cow::into_owned)
        };
        json::members(raw, 16, |member| match member.key {
            b"type" => kind = text(&member.value),
            b"name" => name = text(&member.value).map(|name| (name, member.value)),
            b"uri" => uri = text(&member.value),
            _ => {}
        })
        .ok()?;
        match (kind?.as_str(), name, uri) {
            ("ref/prompt", Some((name, range)), _) => Some(Self::Prompt { name, range }),
            ("ref/resource", _, Some(uri)) => Some(Self::Resource { uri }),
            _ => None,
        }
    }
}
