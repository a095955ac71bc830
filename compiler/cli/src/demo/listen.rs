//! Who wants to hear that the list of resources has changed.
//!
//! A legacy client hears it always, once it has initialized; a modern one on its
//! `subscriptions/listen` requests, which stay open and mark every notification with their id.

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::rpc::{RpcError, notification};
use super::stdio::Outbox;

/// The most subscriptions at once.
const LIMIT: usize = 64;

/// The open subscriptions.
#[derive(Default)]
pub(super) struct Listens {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    legacy: bool,
    /// The ids of `subscriptions/listen` requests that asked for changes of the resource list.
    modern: Vec<Value>,
    /// The ids of those that asked for nothing there is. Kept so that an id stays in use.
    idle: Vec<Value>,
}

impl Listens {
    /// From now on the one legacy client hears of changes.
    pub(super) fn open_legacy(&self) {
        self.lock().legacy = true;
    }

    /// Opens a modern subscription and acknowledges what of it can be honoured.
    pub(super) fn open_modern(
        &self,
        id: &Value,
        params: &Map<String, Value>,
        outbox: &Outbox,
    ) -> Result<(), RpcError> {
        let Some(Value::Object(filter)) = params.get("notifications") else {
            return Err(RpcError::invalid_params(
                "`notifications` must be an object",
            ));
        };
        let wants_resources = filter.get("resourcesListChanged") == Some(&Value::Bool(true));
        let mut open = self.lock();
        if open.modern.len() + open.idle.len() >= LIMIT {
            return Err(RpcError::invalid_params("too many subscriptions are open"));
        }
        let honoured = if wants_resources {
            open.modern.push(id.clone());
            json!({ "resourcesListChanged": true })
        } else {
            open.idle.push(id.clone());
            json!({})
        };
        // Sent under the lock: nothing may go out on a subscription before this.
        let params = json!({ "_meta": subscription(id), "notifications": honoured });
        outbox.send(&notification(
            "notifications/subscriptions/acknowledged",
            &params,
        ));
        Ok(())
    }

    /// Ends a modern subscription. The client asked for it, so nothing more is sent.
    pub(super) fn close(&self, id: &Value) {
        let mut open = self.lock();
        open.modern.retain(|other| other != id);
        open.idle.retain(|other| other != id);
    }

    /// Tells everyone who listens.
    pub(super) fn resources_changed(&self, outbox: &Outbox) {
        const METHOD: &str = "notifications/resources/list_changed";
        let open = self.lock();
        if open.legacy {
            outbox.send(&notification(METHOD, &json!({})));
        }
        for id in &open.modern {
            let params = json!({ "_meta": subscription(id) });
            outbox.send(&notification(METHOD, &params));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn subscription(id: &Value) -> Value {
    json!({ "io.modelcontextprotocol/subscriptionId": id })
}
