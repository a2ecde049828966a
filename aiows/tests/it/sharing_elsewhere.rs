//! A second file that uses the context of a connection.

use aiows::{Context, WebSocket, message};

#[message("elsewhere.owner")]
pub async fn owner(_owner: Context<String>) {}

#[derive(Clone, Debug, Default)]
struct Own;

pub fn keep(ws: &WebSocket) -> Option<Vec<String>> {
    ws.context().insert(vec!["elsewhere".to_owned()])
}

pub fn update(ws: &WebSocket) {
    ws.context().update(|texts: &mut Vec<String>| texts.clear());
}

pub fn keep_own(ws: &WebSocket) {
    assert!(ws.context().insert(vec![Own]).is_none());
    ws.context().update(|own: &mut Own| *own = Own);
}

pub fn read(ws: &WebSocket) -> Option<Vec<String>> {
    ws.context().get()
}
