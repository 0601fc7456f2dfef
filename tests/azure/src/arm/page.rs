//! Lists: pages with a link to the next one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Ask;
use super::error::ArmError;
use crate::http::Reply;

/// The page that the request asks for.
pub(super) fn reply(ask: Ask<'_>, items: Vec<Value>) -> Result<Reply, ArmError> {
    let from = match ask.call.parameter("$skiptoken") {
        None => 0,
        Some(token) => offset(token)
            .ok_or_else(|| ArmError::bad_request("InvalidSkipToken", "The skip token is not valid."))?,
    };
    let size =
        match ask.call.parameter("$top") {
            None => ask.world.weather().weather.page_size.max(1),
            Some(top) => top.parse().ok().filter(|size| *size > 0).ok_or_else(|| {
                ArmError::bad_request("InvalidParameter", "$top must be a positive number.")
            })?,
        };
    let more = items.len() > from.saturating_add(size);
    let value: Vec<Value> = items.into_iter().skip(from).take(size).collect();
    let mut body = json!({"value": value});
    if more {
        body["nextLink"] = next_link(ask, from + size).into();
    }
    Ok(Reply::ok(body))
}

fn next_link(ask: Ask<'_>, offset: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in &ask.call.query {
        if !name.eq_ignore_ascii_case("$skiptoken") {
            query.append_pair(name, value);
        }
    }
    query.append_pair("$skiptoken", &URL_SAFE_NO_PAD.encode(format!("offset:{offset}")));
    format!(
        "{}{}?{}",
        ask.world.urls.arm.trim_end_matches('/'),
        ask.call.path,
        query.finish()
    )
}

fn offset(token: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    text.strip_prefix("offset:")?.parse().ok()
}
